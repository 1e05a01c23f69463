"""Finds the installed plugins without importing them, and imports the enabled plugins.

An entry point of the group ``rolehost`` is a plugin. :func:`installed` reads only metadata, so it
also lists plugins that cannot be imported. :meth:`InstalledPlugin.load` imports a plugin; its
errors name the plugin, distribution, version and the line that raised.
"""

from rolehost.discovery.entries import InstalledPlugin, installed

__all__ = ["InstalledPlugin", "installed"]
