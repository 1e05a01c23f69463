"""Gives finished jobs back when the database refuses them together.

Usually one statement gives back all. If the database refuses that, one of the rows is at fault:
they are halved until it is found. It becomes a failure of its own job, and the others complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from rolehost.delivery.failures import describe
from rolehost.delivery.ledger import ClaimedJob, Finish
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: A claimed job, and how it is to be given back.
End = tuple[ClaimedJob, Finish]


def give_back(runtime: DeliveryRuntime, ends: Sequence[End]) -> None:
    """Write the ends of jobs; one that the database refuses fails alone.

    Raises:
        StorageUnavailable: the database cannot be reached; some may be written. Writing one
            again changes nothing, since its claim is over.
    """
    _halve(runtime, list(ends), _refused)


def _halve(
    runtime: DeliveryRuntime,
    ends: list[End],
    otherwise: Callable[[DeliveryRuntime, End, Exception], None],
) -> None:
    try:
        _write(runtime, ends)
    except StorageUnavailable:
        raise
    except Exception as error:
        if len(ends) == 1:
            otherwise(runtime, ends[0], error)
            return
        middle = len(ends) // 2
        _halve(runtime, ends[:middle], otherwise)
        _halve(runtime, ends[middle:], otherwise)


def _write(runtime: DeliveryRuntime, ends: list[End]) -> None:
    with runtime.database.session(), runtime.database.transaction() as tx:
        runtime.ledger.finish_many(tx, ends, runtime.clock.now())


def _refused(runtime: DeliveryRuntime, end: End, error: Exception) -> None:
    """Make a failure of a job whose end the database refuses."""
    job, refused = end
    text = f"the database refuses how it ended ({refused.state}): {describe(error)}"
    actor = runtime.declared.actors.get(job.actor)
    now = runtime.clock.now()
    replacement = Finish("dead", now, True, text)
    if actor is not None and job.attempt + 1 < actor.retry.attempts:
        delay = actor.retry.delay(job.attempt + 1, runtime.random)
        replacement = Finish("retrying", now + int(delay * 1000), True, text)
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
    """Leave a row alone that nothing can be written to; it is handed back with its process."""
    job, _ = end
    log.error("a job cannot be given back", job_id=job.id, actor=job.actor, error=describe(error))
