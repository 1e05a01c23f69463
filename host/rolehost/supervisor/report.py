"""The supervisor's own log lines, in the same formats as the lines of its children."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from rolehost.observe import lines
from rolehost.redaction import masked

_LEVELS = ("debug", "info", "warning", "error")


class StatusReport:
    """Logs each change of state in one line; ``auto``: ``console`` on a terminal, else JSON."""

    def __init__(self, deployment: str, level: str, form: str) -> None:
        self._colour = sys.stderr.isatty()
        self.configure(deployment, level, form)

    def configure(self, deployment: str, level: str, form: str) -> None:
        """Use the settings of another deployment from now on."""
        self._deployment = deployment
        self._lowest = _LEVELS.index(level)
        self._console = form == "console" or (form == "auto" and self._colour)

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Write one line."""
        if _LEVELS.index(level) < self._lowest:
            return
        line = {
            "timestamp": lines.timestamp(time.time()),
            "level": level,
            "event": event,
            "deployment": self._deployment,
            "role": "supervisor",
            **fields,
        }
        text = lines.as_console(line, colour=self._colour) if self._console else lines.as_json(line)
        try:
            os.write(2, masked(text).encode(errors="backslashreplace") + b"\n")
        except OSError:
            return
