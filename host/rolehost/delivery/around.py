"""Runs the middleware of plugins around the attempts of jobs and events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar
from typing import Literal, Self

import structlog

from rolehost import failpoints
from rolehost.api.executions import Execution, JobMiddleware
from rolehost.api.services import Services
from rolehost.failures import report

log = structlog.get_logger(__name__)

#: The attempt that this context makes; None without middleware.
current: ContextVar[Around | None] = ContextVar("rolehost_around", default=None)


class Around:
    """The middleware around one attempt.

    ``context``: where it was entered. What continues the attempt in another thread runs in it.
    """

    __slots__ = ("_entered", "_middleware", "context", "execution")

    def __init__(self, execution: Execution, middleware: Sequence[JobMiddleware]) -> None:
        self.execution = execution
        self._middleware = middleware
        self.context: Context | None = None
        self._entered: list[tuple[str, AbstractContextManager[object]]] = []

    @classmethod
    def enter(
        cls,
        middleware: Sequence[JobMiddleware],
        services: Services,
        kind: Literal["job", "event"],
        name: str,
        number: object,
        attempt: int,
        cause: str | None = None,
    ) -> Self | None:
        """Enter the middleware around an attempt; if one raises, leave those that were entered.

        None: there is no middleware.
        """
        if not middleware:
            return None
        self = cls(
            Execution(
                kind=kind,
                name=name,
                id=str(number),
                attempt=attempt,
                cause=cause or "",
                services=services,
            ),
            middleware,
        )
        try:
            for each in middleware:
                manager = each.around(self.execution)
                manager.__enter__()
                self._entered.append((each.name, manager))
        except BaseException as error:
            self.execution.exception = error
            self.leave("failed")
            raise
        return self

    def complete(self) -> None:
        """Call what the middleware does before a job is completed, the innermost first."""
        for each in reversed(self._middleware):
            if each.before_completion is not None:
                each.before_completion(self.execution)

    def leave(self, outcome: str) -> None:
        """Leave the middleware, the innermost first."""
        self.execution.outcome = outcome
        while self._entered:
            name, manager = self._entered.pop()
            try:
                manager.__exit__(None, None, None)
            except failpoints.Crash:
                raise
            except BaseException as error:  # the attempt has its outcome already
                report(log.error, "a middleware failed after the attempt", error, middleware=name)


def note(error: BaseException | None) -> None:
    """Note what the attempt of this context raised; None if its outcome has no cause."""
    around = current.get()
    if around is not None:
        around.execution.exception = error
