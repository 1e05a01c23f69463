"""rolehost: one host process, any role.

The host finds plugins through entry points (group ``rolehost``). A deployment file enables
plugins, and their contributions decide the roles of the processes. Plugin authors import
:mod:`rolehost.api` and no other module of this package.
"""

__version__ = "0.1.0"
