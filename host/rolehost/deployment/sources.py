"""The texts that a deployment is made of, kept so that it can be read again as it was.

A process that is started again reads what was accepted when the deployment was started or
reloaded, not what somebody is editing on disk. Secrets that were in files are among the texts:
they are kept in memory that has no name, and inherited.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Environment variable with the number of a file descriptor that :meth:`Sources.keep` wrote.
SOURCES_VARIABLE = "ROLEHOST_SOURCES_FD"


class Sources:
    """Reads files, once each.

    Args:
        kept: path → text of files that are not looked for on disk.
    """

    def __init__(self, kept: Mapping[str, str] | None = None) -> None:
        self._texts = dict(kept or {})

    def text(self, path: Path) -> str:
        """Return the text of a file.

        Raises:
            OSError: it cannot be read.
            UnicodeDecodeError: it is not UTF-8.
        """
        key = os.path.normpath(path)
        if key not in self._texts:
            self._texts[key] = Path(path).read_text(encoding="utf-8")
        return self._texts[key]

    def keep(self) -> int:
        """Write what was read into memory without a name; return its file descriptor.

        The descriptor is not inherited by itself. Where the system has no such memory it is a
        file that is removed before anything is written.
        """
        if hasattr(os, "memfd_create"):
            number = os.memfd_create("rolehost-deployment")
        else:
            with tempfile.TemporaryFile() as file:
                number = os.dup(file.fileno())
        self.write(number)
        return number

    def write(self, number: int) -> None:
        """Write what was read to a file descriptor."""
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(json.dumps(self._texts).encode())

    @classmethod
    def kept(cls, number: int) -> Sources:
        """Read what :meth:`write` wrote; other readers of the same descriptor are not disturbed."""
        return cls(json.loads(os.pread(number, os.fstat(number).st_size, 0)))

    @classmethod
    def inherited(cls) -> Sources:
        """Return those that a supervisor hands to its process; without one, none are kept."""
        number = os.environ.pop(SOURCES_VARIABLE, None)
        if number is None:
            return cls()
        try:
            return cls.kept(int(number))
        finally:
            os.close(int(number))
