"""Gives finished jobs back one by one, if the database refuses to store them together.

Usually one statement gives back all of them. If the database refuses it, one row is the cause:
the rows are halved (*bisection*) until it is found. That job fails, and the others complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from rolehost.delivery.failures import describe
from rolehost.delivery.ledger import ClaimedJob, Finish
from rolehost.delivery.runner import end_of_refused
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: A claimed job, and how to give it back.
End = tuple[ClaimedJob, Finish]


def give_back(runtime: DeliveryRuntime, ends: Sequence[End]) -> None:
    """Write the ends of jobs; one that the database refuses fails alone.

    Raises:
        StorageUnavailable: the database cannot be reached; some ends may be written. Writing one
            again has no effect, because its claim is over.
    """
    _halve(runtime, list(ends), _refused)


def _halve(
    runtime: DeliveryRuntime,
    ends: list[End],
    on_refused: Callable[[DeliveryRuntime, End, Exception], None],
) -> None:
    try:
        with runtime.database.session(), runtime.database.transaction() as tx:
            runtime.ledger.finish_many(tx, ends, runtime.clock.now())
    except StorageUnavailable:
        raise
    except Exception as error:
        if len(ends) == 1:
            on_refused(runtime, ends[0], error)
            return
        middle = len(ends) // 2
        _halve(runtime, ends[:middle], on_refused)
        _halve(runtime, ends[middle:], on_refused)


def _refused(runtime: DeliveryRuntime, end: End, error: Exception) -> None:
    job, refused = end
    text = f"the database refuses how it ended ({refused.state}): {describe(error)}"
    replacement = end_of_refused(runtime, job, text)
    log.error(
        "the end of a job cannot be written",
        job_id=job.id,
        actor=job.actor,
        attempt=job.attempt + 1,
        then=replacement.state,
        error=text,
    )
    _halve(runtime, [(job, replacement)], _abandoned)


def _abandoned(_runtime: DeliveryRuntime, end: End, error: Exception) -> None:
    """Leave a row that nothing can be written to; its lease ends with this process."""
    job, _ = end
    log.error("a job cannot be given back", job_id=job.id, actor=job.actor, error=describe(error))
