"""Finds a plugin's code in a stack or a traceback, for messages: ``function (module:line)``."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import Any

#: Packages that messages never name as a plugin's code. The database plugins are among them,
#: because they run the statements of other plugins.
_MACHINERY = frozenset(
    {
        "_pytest",
        "asyncio",
        "click",
        "concurrent",
        "contextlib",
        "contextvars",
        "dramatiq",
        "falcon",
        "functools",
        "gunicorn",
        "peewee",
        "playhouse",
        "pluggy",
        "psycopg2",
        "pytest",
        "rolehost",
        "rolehost_embedded",
        "rolehost_postgres",
        "rolehost_testing",
        "runpy",
        "sqlite3",
        "structlog",
        "threading",
        "uvloop",
    }
)
#: Modules that call plugin code; the search in a stack ends at them.
_CALLERS = (
    "_pytest.",
    "asyncio.",
    "click.",
    "dramatiq.",
    "gunicorn.",
    "rolehost.cli.",
    "rolehost.delivery.handling",
    "rolehost.delivery.runner",
    "rolehost.roles.",
    "rolehost_testing.",
)


def call_location(frame: FrameType | None) -> tuple[str, str]:
    """Return the outermost and innermost function of plugin code in a stack; or empty texts."""
    outer = inner = ""
    while frame is not None:
        module = _module(frame)
        if not _is_machinery(module):
            outer = format_location(frame.f_code, frame.f_globals, frame.f_lineno)
            inner = inner or outer
        elif outer and module.startswith(_CALLERS):
            break
        frame = frame.f_back
    return outer, inner


def raise_location(error: BaseException) -> str:
    """Return the innermost function of plugin code in a traceback; if none, the outermost one."""
    location = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not location or not _is_machinery(_module(frame)):
            location = format_location(frame.f_code, frame.f_globals, trace.tb_lineno)
        trace = trace.tb_next
    return location


def format_location(code: CodeType, names: dict[str, Any], line: int | None) -> str:
    """Return ``function (module:line)``."""
    return f"{code.co_qualname} ({names.get('__name__', '')}:{line})"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_machinery(module: str) -> bool:
    return module.partition(".")[0] in _MACHINERY
