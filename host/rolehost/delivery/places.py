"""Names the author's code in a stack or a traceback, for messages: ``function (module:line)``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

#: Packages that are never the author's code.
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
        "runpy",
        "sqlite3",
        "structlog",
        "threading",
        "uvloop",
    }
)
#: Modules that call the author's code: a stack is not followed beyond them.
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
    "rolehost.testing.",
)


def call_site(frame: FrameType | None = None) -> tuple[str, str]:
    """Return the author's outermost and innermost function of a stack.

    The outermost is a responder, actor, handler, middleware or hook; the innermost is where the
    execution is now. Both are empty when the stack has no code of an author.

    Args:
        frame: innermost frame of the stack; None takes the caller's.
    """
    frame = frame or sys._getframe(1)
    outer = inner = ""
    for each in _outward(frame):
        module = _module(each)
        if _is_machinery(module):
            if outer and module.startswith(_CALLERS):
                break
            continue
        outer = _name(each, each.f_lineno)
        inner = inner or outer
    return outer, inner


def raise_site(error: BaseException) -> str:
    """Return where an error was raised: the author's innermost function in its traceback."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if not place or not _is_machinery(_module(trace.tb_frame)):
            place = _name(trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_machinery(module: str) -> bool:
    return module.partition(".")[0] in _MACHINERY


def _name(frame: FrameType, line: int | None) -> str:
    return f"{frame.f_code.co_qualname} ({_module(frame)}:{line})"
