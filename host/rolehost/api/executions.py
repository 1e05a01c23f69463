"""Middleware around the attempts of jobs and events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from rolehost.api.services import Services


@dataclass(slots=True, kw_only=True)
class Execution:
    """One attempt of a job or an event, as middleware sees it.

    Attributes:
        kind: ``job``, or ``event`` for an attempt of a handler.
        name: name of the actor or the handler.
        id: id of the job or the event; of the first event, if a handler gets a batch.
        attempt: number of the attempt, from 1.
        cause: what enqueued the job, see :meth:`UnitOfWork.enqueue`; empty for an event.
        services: the services of the process.
        outcome: set at the end. Of a job: ``completed``, ``retrying``, ``snoozed``, ``dead``,
            ``cancelled``, ``expired``, ``interrupted`` (handed back, not counted) or ``lost``
            (another process has the job, and nothing was written). Of an event: ``handled``,
            ``duplicate``, ``failed``, ``interrupted`` or ``lost``. Of both: ``failed`` if another
            middleware could not be entered. Empty before the end.
        exception: what the attempt raised; None if it raised nothing.
    """

    kind: Literal["job", "event"]
    name: str
    id: str
    attempt: int
    cause: str
    services: Services
    outcome: str = ""
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMiddleware:
    """Runs around each attempt of a durable job or an event. The first one is the outermost.

    Attributes:
        name: name for messages.
        around: called with an :class:`Execution` before the attempt. It returns a context manager,
            which is entered then, and left after the attempt has an outcome. It is always left
            without an exception: look at ``execution.exception``. If entering raises, the attempt
            has failed; an error at the end is logged. Both run in the context (:mod:`contextvars`)
            of the attempt; those of an asynchronous actor run on its event loop and must not block.
        before_completion: None, or called with the :class:`Execution` when the actor of a job has
            succeeded, before the commit. Units of work that it opens are the job's: what it writes
            commits with the end of the job, or not at all. If it raises, the attempt has failed.

    Example::

        @contextmanager
        def report(execution):
            yield
            if execution.exception is not None:
                send_report(execution.exception, actor=execution.name, job=execution.id)

        JobMiddleware(name="report", around=report)
    """

    name: str
    around: Callable[[Execution], AbstractContextManager[object]] = nullcontext
    before_completion: Callable[[Execution], None] | None = None
