"""The two formats of a log line, the same in the supervisor and in its children.

This module imports only the standard library, because the supervisor must stay small.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

#: ANSI colours of the levels on a terminal.
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}

#: Fields with a fixed place in a console line.
_PLACED = frozenset({"timestamp", "level", "event", "exception"})

_second: tuple[int, str] = (-1, "")


def timestamp(now: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC with milliseconds."""
    global _second
    whole = int(now)
    second, text = _second
    if second != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return f"{text}.{int((now - whole) * 1000):03d}Z"


def as_json(fields: Mapping[str, Any]) -> str:
    """Render one line as JSON; a value that JSON cannot represent becomes its ``repr``."""
    return json.dumps(fields, default=repr, separators=(",", ":"))


def as_console(fields: Mapping[str, Any], *, colour: bool) -> str:
    """Render one line for people: time, level, event, then the other fields as ``key=value``.

    Values with spaces or control characters are quoted, so that no value can look like another
    line (log injection). A traceback follows on the next lines.
    """
    level = str(fields.get("level", "info"))
    label = f"{level:<8}"
    if colour:
        label = f"\x1b[{_COLOURS.get(level, '0')}m{label}\x1b[0m"
    event = _plain(str(fields.get("event", "")))
    rest = [f"{key}={_value(value)}" for key, value in fields.items() if key not in _PLACED]
    line = " ".join([str(fields.get("timestamp", "")), label, event, *rest])
    exception = fields.get("exception")
    return f"{line}\n{exception}" if exception else line


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    if text and text.isprintable() and not any(sign in text for sign in " ='\""):
        return text
    return repr(text) if isinstance(value, str) else _plain(text)


def _plain(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
