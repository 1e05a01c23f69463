"""The services of a process: storage, settings, unit of work, and what plugins register."""

from rolehost.services.container import ProcessServices

__all__ = ["ProcessServices"]
