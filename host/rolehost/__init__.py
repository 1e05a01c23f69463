"""rolehost: one host process, any role.

Plugins are found through entry points (group ``rolehost``); a deployment file names which
are enabled; what the enabled plugins contribute decides what the process is. Plugin authors
import :mod:`rolehost.api` and nothing else of this package.
"""

__version__ = "0.1.0"
