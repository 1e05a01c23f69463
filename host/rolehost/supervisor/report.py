"""The supervisor's own lines, in the same forms as the children's."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from rolehost.observe import lines
from rolehost.redaction import masked

_LEVELS = ("debug", "info", "warning", "error")


class StatusReport:
    """Writes one line per change of state to standard error.

    Args:
        deployment: name of the deployment, in every line.
        level: the least level that is written.
        form: ``auto``, ``console`` or ``json``; ``auto`` is console on a terminal.
    """

    def __init__(self, deployment: str, level: str, form: str) -> None:
        self._deployment = deployment
        self._least = _LEVELS.index(level)
        self._colour = sys.stderr.isatty()
        self._console = form == "console" or (form == "auto" and self._colour)

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Write one line."""
        if _LEVELS.index(level) < self._least:
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


def describe_exit(status: int) -> str:
    """Say how a process ended, given its exit code (negative: the signal that killed it)."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"
