"""What is said of an exception, whatever the exception does when it is asked.

Code of plugins raises exceptions whose text, name or traceback cannot be made, or fills
megabytes. How a failure is described must never be another failure.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rolehost.delivery.texts import bounded, storable
from rolehost.redaction import masked

#: Most members of an exception group that its description names.
_MEMBERS = 3

#: Most frames, linked exceptions, and characters of a traceback.
_MOST_FRAMES, _LONGEST_CHAIN, _LONGEST_TRACEBACK = 100, 50, 32_000


#: What ends a thread or a process, and is a failure when code of a plugin raises it.
ENDINGS = (SystemExit, KeyboardInterrupt, GeneratorExit, BaseExceptionGroup)


class ActorFailed(Exception):
    """Stands in for an exception of an actor that cannot be shown, chained or stored."""


def without_ending(error: BaseException) -> RuntimeError:
    """Return an error to raise in place of one of :data:`ENDINGS`, which would end the process."""
    return RuntimeError(f"code of a plugin raised {describe(error)}")


def describe(error: BaseException) -> str:
    """Return ``Type: text`` of an exception. Never raises.

    It can be stored, has a bounded length, and shows secrets as asterisks.
    """
    name = _name(error)
    try:
        # str() may return a subclass of str with methods of its own.
        text = str.__str__(str(error))
    except BaseException as broken:  # __str__ may raise anything, as an actor may
        return f"{name}: (its text cannot be made: {_name(broken)})"
    described = f"{name}: {text}"
    if issubclass(type(error), BaseExceptionGroup):
        described += _members(error)
    return storable(bounded(masked(described)))


def formatted(error: BaseException) -> str:
    """Return the traceback of an exception, or why there is none. Never raises.

    Of a long one, the begin and the end; of a chain of very many exceptions, the last alone.
    """
    try:
        shown = traceback.format_exception(error, limit=-_MOST_FRAMES, chain=_shows_chain(error))
        return bounded("".join(shown).rstrip(), _LONGEST_TRACEBACK)
    except BaseException as broken:  # the exception's own code runs, and may raise anything
        return f"{describe(error)}\n(its traceback cannot be made: {_name(broken)})"


def harmless(error: BaseException) -> BaseException:
    """Return an exception that may be logged, formatted and stored with a message.

    That is the exception itself; or, for one that ends threads (``SystemExit``), whose text
    cannot be stored, or whose traceback cannot be made or is very long, an
    :class:`ActorFailed` that describes it.
    """
    if issubclass(type(error), Exception):
        try:
            if isinstance(error.__class__, type) and _shows_chain(error):
                text = str(error)
                size = len("".join(traceback.format_exception(error)))
                if type(text) is str and storable(text) == text and size < _LONGEST_TRACEBACK:
                    return error
        except BaseException:  # a name, a text or a note that raises; a group too deep
            pass
    return ActorFailed(describe(error)).with_traceback(_short(error.__traceback__))


def report(
    write: Callable[..., None], event: str, raised: BaseException | None, **fields: Any
) -> None:
    """Log a failure with its traceback; without it where the logger cannot show that.

    Args:
        write: method of a logger.
        event: text of the line.
        raised: what was raised; None: nothing was.
        fields: of the line.
    """
    if raised is None:
        write(event, **fields)
        return
    try:
        write(event, exc_info=harmless(raised), **fields)
    except Exception:  # the frames hold objects of the plugin's own, which some loggers ask
        write(event, **fields)


def _shows_chain(error: BaseException) -> bool:
    """Say whether an exception and those that led to it are few enough to be shown."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            return True
        link = link.__cause__ or link.__context__
    return False


def _short(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames that are too many, which is its begin."""
    frames = 0
    link = trace
    while link is not None:
        frames += 1
        link = link.tb_next
    for _ in range(frames - _MOST_FRAMES):
        assert trace is not None
        trace = trace.tb_next
    return trace


def _name(error: BaseException) -> str:
    try:
        return str.__str__(type(error).__name__)
    except BaseException:  # a metaclass may define __name__
        return "an exception without a name"


def _members(group: BaseException) -> str:
    try:
        members = list(BaseExceptionGroup.exceptions.__get__(group))
        shown = [f"{_name(each)}: {str(each)[:200]}" for each in members[:_MEMBERS]]
    except BaseException:  # as above: a member's text
        return ""
    more = [f"{len(members) - _MEMBERS} more"] if len(members) > _MEMBERS else []
    return f": {'; '.join(shown + more)}"
