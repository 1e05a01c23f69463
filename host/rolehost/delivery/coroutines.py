"""The ends of coroutines of asynchronous actors and handlers, which run before the attempts."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from rolehost.delivery.around import Around


class Stopping(Exception):
    """The process stops before a job or an event is handled; the attempt is not counted."""


class EndedCoroutine(NamedTuple):
    """What the coroutine of an asynchronous actor or handler returned or raised.

    ``began``: when the coroutine began, milliseconds. ``around``: the middleware around the
    attempt, if it was entered. ``lines``: the log lines of a job.
    """

    began: int
    outcome: Any
    error: BaseException | None
    around: Around | None = None
    lines: deque[str] | None = None

    def result(self) -> Any:
        """Return the outcome, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.outcome
