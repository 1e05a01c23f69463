"""Batches: created, extended, cancelled and looked at.

All jobs of a batch are enqueued at its creation: later steps and callbacks are scheduled for a time
that never comes, and are started or cancelled when the batch comes to them. So their arguments are
checked, and their ids known, in the transaction that creates the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from rolehost.api import JobContext, Services, UnitOfWork

from rolehost_batches.advancing import advance, cause_of, lock
from rolehost_batches.calls import Call, alike, calls_of
from rolehost_batches.models import Batch, Member

#: Seconds for which a job waits that the batch starts: 99 years.
_HELD = 99 * 365 * 86_400.0
#: Maximum number of rows in one statement.
_ROWS = 500


class BatchOver(Exception):
    """The batch has ended, or does not exist."""


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is stored now.

    Attributes:
        id: id of the batch.
        description: the text that was given.
        state: ``open``; ``completed`` if all jobs of all steps were; ``failed`` if one was not;
            ``cancelled``.
        step: the step that runs, or ran last, from 0.
        steps: number of the steps.
        jobs: ids of the jobs of each step.
        counts: number of the jobs of all steps by state: ``open``, ``completed``, ``dead``,
            ``cancelled``, ``lost`` (deleted before the batch looked at it), ``skipped``.
        callbacks: ids of the callback jobs by condition: ``success``, ``failure``, ``end``.
        created_at: milliseconds since the Unix epoch.
        finished_at: milliseconds; None: not yet.
    """

    id: int
    description: str
    state: str
    step: int
    steps: int
    jobs: tuple[tuple[int, ...], ...]
    counts: Mapping[str, int]
    callbacks: Mapping[str, int]
    created_at: int
    finished_at: int | None


def enqueue_batch(
    services: Services,
    *steps: Call | Sequence[Call],
    on_success: Call | None = None,
    on_failure: Call | None = None,
    on_end: Call | None = None,
    description: str = "",
) -> int:
    """Enqueue the jobs of a batch in a unit of work that is opened or joined for it.

    The jobs of the first step run at once. Those of the next step start when all jobs of the step
    before are completed. If a job of a step ends otherwise (dead, cancelled, expired), the other
    jobs of that step go on, the later steps are cancelled, and the batch has failed.

    Args:
        services: the services of the process.
        steps: each is a :func:`call`, or a sequence of them, which may be empty.
        on_success: runs if all jobs of all steps were completed.
        on_failure: runs if not, when all jobs of the failed step have ended.
        on_end: runs in both cases.
        description: a text for listings.

    Returns:
        The id of the batch.

    Raises:
        TypeError: a step is not made of calls.
        PayloadError, UndeclaredError, UnknownActor: as :meth:`rolehost.api.UnitOfWork.enqueue`.
    """
    planned = [calls_of(step) for step in steps]
    callbacks = {"success": on_success, "failure": on_failure, "end": on_end}
    with services.unit_of_work() as work:
        batch: int = Batch.create(
            description=description,
            state="open",
            step=0,
            steps=len(planned),
            created_at=services.clock.now(),
        ).id
        for number, calls in enumerate(planned):
            _enqueue(work, batch, number, "step", calls, delay=_HELD if number else None)
        for role, callback in callbacks.items():
            if callback is not None:
                _enqueue(work, batch, len(planned), role, calls_of(callback), delay=_HELD)
        if not planned or not planned[0]:
            advance(services, work, batch)
    return batch


def _enqueue(
    work: UnitOfWork,
    batch: int,
    step: int,
    role: str,
    calls: Sequence[Call],
    delay: float | None = None,
) -> list[int]:
    """Enqueue calls as members of a batch; return the ids of the jobs."""
    jobs: list[int] = []
    for run in alike(calls):
        arguments = [each.arguments for each in run]
        options = {**run[0].options, "delay": delay, "cause": cause_of(batch)}
        made = work.enqueue_many(run[0].actor, arguments, return_jobs=True, **options)
        jobs += [job.id for job in made]
    rows = [
        {"job": job, "batch": batch, "step": step, "role": role, "state": "open"} for job in jobs
    ]
    for start in range(0, len(rows), _ROWS):
        Member.insert_many(rows[start : start + _ROWS]).execute()
    return jobs


def add_to_batch(services: Services, batch: int, *calls: Call) -> list[int]:
    """Enqueue more jobs in the step of a batch that runs, for example from one of its jobs.

    Returns:
        The ids of the jobs.

    Raises:
        BatchOver: the batch has ended, or does not exist.
    """
    with services.unit_of_work() as work:
        found = lock(batch)
        if found is None:
            raise BatchOver(f"batch {batch} has ended or does not exist; no job was added")
        return _enqueue(work, batch, found.step, "step", calls_of(calls))


def cancel_batch(services: Services, batch: int) -> int:
    """Cancel a batch: its waiting jobs, later steps and callbacks; running jobs are asked to stop.

    No callback runs.

    Returns:
        The number of jobs that were not over.

    Raises:
        BatchOver: the batch has ended, or does not exist.
    """
    with services.unit_of_work() as work:
        if lock(batch) is None:
            raise BatchOver(f"batch {batch} has ended or does not exist")
        ended = {"state": "cancelled", "finished_at": services.clock.now()}
        Batch.update(ended).where(Batch.id == batch).execute()
        open_jobs = (Member.batch == batch) & (Member.state == "open")
        jobs = [row.job for row in Member.select(Member.job).where(open_jobs)]
        Member.update(state="cancelled").where(open_jobs).execute()
        return work.cancel(*jobs)


def find_batch(services: Services, batch: int) -> BatchStatus | None:
    """Return the state of a batch; None if it does not exist or was deleted."""
    with services.database.session():
        found = Batch.get_or_none(Batch.id == batch)
        if found is None:
            return None
        members = list(Member.select().where(Member.batch == batch).order_by(Member.job))
    steps: list[list[int]] = [[] for _ in range(found.steps)]
    for member in members:
        if member.role == "step":
            steps[member.step].append(member.job)
    return BatchStatus(
        id=found.id,
        description=found.description,
        state=found.state,
        step=found.step,
        steps=found.steps,
        jobs=tuple(map(tuple, steps)),
        counts=Counter(member.state for member in members if member.role == "step"),
        callbacks={member.role: member.job for member in members if member.role != "step"},
        created_at=found.created_at,
        finished_at=found.finished_at,
    )


def batch_of(job: JobContext) -> BatchStatus | None:
    """Return the state of the batch of a running job or callback; None if it has no batch."""
    with job.services.database.session():
        member = Member.get_or_none(Member.job == job.id)
    return None if member is None else find_batch(job.services, member.batch)
