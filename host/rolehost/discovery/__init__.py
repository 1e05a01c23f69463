"""Which plugins are installed, found without importing them; and loading those that are meant.

An entry point of the group ``rolehost`` is a plugin. :func:`installed` reads metadata only, so a
plugin whose import raises can still be listed; :meth:`Found.load` imports, and tells a failure
with plugin, distribution, version and the line that raised.
"""

from rolehost.discovery.entries import Found, installed
from rolehost.discovery.hooks import HookTable, implementation
from rolehost.suggest import did_you_mean

__all__ = ["Found", "HookTable", "did_you_mean", "implementation", "installed"]
