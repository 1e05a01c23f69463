"""The services of a process: storage, settings, unit of work, and services of plugins."""

from rolehost.services.container import ProcessServices

__all__ = ["ProcessServices"]
