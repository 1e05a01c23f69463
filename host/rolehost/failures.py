"""Describes exceptions of plugins, and never fails itself.

The text, name or traceback of an exception may raise another exception, or fill megabytes.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rolehost.errors import PayloadError
from rolehost.redaction import masked

if TYPE_CHECKING:
    from rolehost.api.retries import RetryPolicy

#: Maximum length of an error that is stored with a job or an event, characters.
MAX_ERROR = 4000
#: Maximum number of members of an exception group in its description.
_MEMBERS = 3
#: Maximum numbers of frames, linked exceptions and characters in a traceback.
_MAX_FRAMES, _MAX_CHAIN, _MAX_TRACEBACK = 100, 50, 32_000
#: Exceptions that end a thread or a process. If a plugin's code raises one, that is a failure.
TERMINATING = (SystemExit, KeyboardInterrupt, GeneratorExit, BaseExceptionGroup)


class ActorFailed(Exception):
    """Replaces an exception of an actor if it cannot be shown, chained or stored."""


def as_runtime_error(error: BaseException) -> RuntimeError:
    """Return an error to raise instead of one of :data:`TERMINATING`, which ends a process."""
    return RuntimeError(f"code of a plugin raised {describe(error)}")


def bounded(text: str, most: int = MAX_ERROR) -> str:
    """Shorten a text to about ``most`` characters; the beginning and the end are kept."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … ({len(text)} characters) … {text[-end:]}"


def storable(text: str) -> str:
    """Replace the characters that some database refuses: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def describe(error: BaseException) -> str:
    """Return ``Type: text`` of an exception, at most about 4,000 characters. Never raises.

    Secrets are masked. Every database can store the text.
    """
    name = _name(error)
    try:
        # str() may return a subclass of str that overrides methods.
        text = str.__str__(str(error))
    except BaseException as broken:  # __str__ may raise anything
        return f"{name}: (its text cannot be made: {_name(broken)})"
    described = f"{name}: {text}"
    if issubclass(type(error), BaseExceptionGroup):
        described += _members(error)
    return storable(bounded(masked(described)))


def format_traceback(error: BaseException) -> str:
    """Return the traceback, or why it cannot be made, at most 32,000 characters. Never raises.

    Secrets are masked. Every database can store the text.
    """
    try:
        shown = traceback.format_exception(error, limit=-_MAX_FRAMES, chain=_shows_chain(error))
        return storable(bounded(masked("".join(shown).rstrip()), _MAX_TRACEBACK))
    except BaseException as broken:  # code of the exception runs, and may raise anything
        return f"{describe(error)}\n(its traceback cannot be made: {_name(broken)})"


def is_fatal(error: BaseException, policy: RetryPolicy) -> bool:
    """Return whether work that raised an error must not be retried."""
    # Not isinstance(), because it reads the error's __class__, which may be overridden.
    return issubclass(type(error), (PayloadError, *policy.fatal))


def loggable(error: BaseException) -> BaseException:
    """Return the exception, or an :class:`ActorFailed` if it cannot be logged and stored.

    It is replaced if it ends threads (``SystemExit``), if its text cannot be stored, or if its
    traceback cannot be made or is very long.
    """
    if issubclass(type(error), Exception):
        try:
            if isinstance(error.__class__, type) and _shows_chain(error):
                text = str(error)
                size = len("".join(traceback.format_exception(error)))
                if type(text) is str and storable(text) == text and size < _MAX_TRACEBACK:
                    return error
        except BaseException:  # a name, a text or a note raises; a group is too deep
            pass
    return ActorFailed(describe(error)).with_traceback(_short(error.__traceback__))


def report(
    write: Callable[..., None], event: str, raised: BaseException | None, **fields: Any
) -> None:
    """Call a logger's method with the exception, or without it if the logger cannot show it."""
    if raised is not None:
        try:
            write(event, exc_info=loggable(raised), **fields)
            return
        except Exception:  # some loggers call methods of objects in the frames, which may raise
            pass
    write(event, **fields)


def _shows_chain(error: BaseException) -> bool:
    """Return whether an exception's chain of causes is short enough to be shown."""
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if link is None:
            return True
        link = link.__cause__ or link.__context__
    return False


def _short(trace: TracebackType | None) -> TracebackType | None:
    """Return the innermost frames of a traceback."""
    link, frames = trace, 0
    while link is not None:
        link, frames = link.tb_next, frames + 1
    for _ in range(frames - _MAX_FRAMES):
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
    except BaseException:  # a member's text may raise, too
        return ""
    more = [f"{len(members) - _MEMBERS} more"] if len(members) > _MEMBERS else []
    return f": {'; '.join(shown + more)}"
