"""The texts that a deployment is made of, kept so that it can be read again as it was.

A process that is started again reads what was accepted when the deployment was started or
reloaded, not what somebody is editing on disk. Secrets that were in files are among the texts:
they are kept in memory that has no name, and inherited.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


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

    def write(self, number: int) -> None:
        """Write what was read to a file descriptor."""
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(json.dumps(self._texts).encode())

    @classmethod
    def kept(cls, number: int) -> Sources:
        """Read what :meth:`write` wrote to a file descriptor."""
        # Another's descriptor may be the same open file: nothing may move its position.
        return cls(json.loads(os.pread(number, os.fstat(number).st_size, 0)))
