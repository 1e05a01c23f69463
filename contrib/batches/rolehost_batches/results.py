"""Results of jobs: kept by the job with an expiry, awaited by the id of the job."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from rolehost.api import JobContext, PayloadError, Services

from rolehost_batches.models import Member, Result

#: Seconds for which a result is kept: a day.
_DAY = 86_400.0
#: Maximum size of a result as JSON, bytes.
_MOST = 1_048_576
#: Seconds between two looks of :func:`wait_for_result`: the first and the longest pause.
_FIRST, _LONGEST = 0.01, 0.5


class NoResult(LookupError):
    """The job has kept no result, or it has expired, or the job does not exist."""


class JobFailed(Exception):
    """The job ended without success.

    Attributes:
        state: ``dead`` or ``cancelled``.
        error: its last error, or None.
    """

    def __init__(self, job: int, state: str, error: str | None) -> None:
        super().__init__(f"job {job} is {state}: {error or 'no error'}")
        self.state = state
        self.error = error


def keep_result(job: JobContext, value: Any, *, ttl: float = _DAY) -> None:
    """Keep the result of a job; it exists if the attempt succeeds, and only then.

    It is written in the unit of work of the job. An asynchronous actor returns
    ``Complete(keep_result, job, value)``.

    Args:
        job: the context of the actor.
        value: any value that msgspec encodes as JSON, at most 1 MiB; a second call replaces it.
        ttl: seconds for which it is kept.

    Raises:
        PayloadError: the value cannot be encoded, or is too large.
    """
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PayloadError(f"the result of job {job.id} cannot be encoded: {error}") from None
    if len(encoded) > _MOST:
        raise PayloadError(
            f"the result of job {job.id} has {len(encoded)} bytes; at most {_MOST} are kept: store"
            " it in a table, and keep its id"
        )
    expires = job.services.clock.now() + int(ttl * 1000)
    with job.services.unit_of_work():
        Result.delete().where(Result.job == job.id).execute()
        Result.create(job=job.id, value=encoded, expires_at=expires)


def result_of(services: Services, job: int, kind: Any = Any) -> Any:
    """Return the result of a job.

    Args:
        services: the services of the process.
        job: id of the job.
        kind: the type of the result; Any: plain JSON values.

    Raises:
        NoResult: see there.
    """
    with services.database.session():
        row = Result.get_or_none((Result.job == job) & (Result.expires_at > services.clock.now()))
    if row is None:
        raise NoResult(f"job {job} has no result, or it has expired")
    return msgspec.json.decode(bytes(row.value), type=kind)


def results_of(services: Services, batch: int, kind: Any = Any) -> dict[int, Any]:
    """Return the results of the jobs of a batch, by the ids of the jobs, in their order."""
    with services.database.session():
        rows = list(
            Result.select(Result.job, Result.value)
            .join(Member, on=(Member.job == Result.job))
            .where(Member.batch == batch, Result.expires_at > services.clock.now())
            .order_by(Result.job)
        )
    return {row.job: msgspec.json.decode(bytes(row.value), type=kind) for row in rows}


def wait_for_result(services: Services, job: int, *, timeout: float, kind: Any = Any) -> Any:
    """Wait until a job is over, and return its result; None if it was completed without one.

    The call blocks the thread: asynchronous code awaits ``services.run(wait_for_result, …)``. Do
    not call it in a unit of work, which would hold its transaction open, or in a job whose worker
    has no other thread for the awaited job.

    Args:
        services: the services of the process.
        job: id of the job, which must have been committed.
        timeout: seconds.
        kind: the type of the result.

    Raises:
        JobFailed: the job is dead or cancelled.
        NoResult: the job does not exist.
        TimeoutError: the job is not over after ``timeout`` seconds.
    """
    until, pause = time.monotonic() + timeout, _FIRST
    while True:
        status = services.job(job)
        if status is None:
            raise NoResult(f"job {job} does not exist")
        if status.over:
            break
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"job {job} is {status.state} after {timeout} s")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST)
    if status.state != "completed":
        raise JobFailed(job, status.state, status.error)
    try:
        return result_of(services, job, kind)
    except NoResult:
        return None
