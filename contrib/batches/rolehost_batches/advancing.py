"""Moves batches on when their jobs end.

A job that is completed notes that in its own transaction, and enqueues the actor
``batches.advance``, once for a batch until it starts. So the last end of a step always leads to a
look at the batch, also if the process dies, and a batch is over exactly once, because the look
locks its row. Jobs that end in another way cannot write in a transaction of theirs; the actor
``batches.sweep`` finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rolehost.api import Execution, JobContext, Services, Unique, UnitOfWork, actor

from rolehost_batches.models import Batch, Member, Report, Result
from rolehost_batches.settings import BatchSettings

#: A step of which more jobs are open is looked at at most once in ``_PAUSE`` seconds.
_MANY, _PAUSE = 20, 0.05
#: Most digits of an id of a batch, which has 64 bits.
_DIGITS = 18
#: Maximum number of jobs that one sweep ends, and of rows that it deletes.
_MOST = 1000
#: Jobs of running steps that have ended without a note, with their states.
_ENDED = (
    "SELECT m.job, m.batch, coalesce(j.state, 'lost') FROM batches_batch AS b"
    " JOIN batches_member AS m ON m.batch = b.id AND m.step = b.step"
    " LEFT JOIN rolehost_jobs AS j ON j.id = m.job"
    " WHERE b.state = 'open' AND m.state = 'open' AND m.role = 'step'"
    " AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'dead'))"
    f" LIMIT {_MOST}"
)


def cause_of(batch: int) -> str:
    """Return the cause of the jobs of a batch."""
    return f"batch:{batch}"


def lock(batch: int) -> Batch | None:
    """Lock the row of a batch until the transaction ends; None unless the batch is open."""
    chosen = (Batch.id == batch) & (Batch.state == "open")
    # An update locks the row with every database.
    if not Batch.update(state="open").where(chosen).execute():
        return None
    found: Batch = Batch.get_by_id(batch)
    return found


def note_completion(execution: Execution) -> None:
    """Note in the transaction of a job that it is completed, and have its batch looked at."""
    kind, _, number = execution.cause.partition(":")
    if kind != "batch" or not number.isdecimal() or len(number) > _DIGITS:
        return
    batch, services = int(number), execution.services
    with services.unit_of_work() as work:
        noted = (
            Member.update(state="completed")
            .where(Member.job == int(execution.id), Member.batch == batch, Member.state == "open")
            .execute()
        )
        if noted:
            _look_at(work, batch)


def _look_at(work: UnitOfWork, batch: int) -> None:
    still_open = (Member.batch == batch) & (Member.state == "open") & (Member.role == "step")
    many = Member.select().where(still_open).limit(_MANY + 1).count() > _MANY
    delay = _PAUSE if many else None
    unique = Unique(f"batches.advance {batch}")
    work.enqueue("batches.advance", batch=batch, unique=unique, delay=delay)


def advance(services: Services, work: UnitOfWork, batch: int) -> None:
    """Start the next step of a batch, or end the batch, if its step is over."""
    found = lock(batch)
    if found is None:
        return
    step, failed = found.step, False
    while step < found.steps:
        members = (Member.batch == batch) & (Member.step == step) & (Member.role == "step")
        if Member.select().where(members, Member.state == "open").exists():
            if step > found.step:
                Batch.update(step=step).where(Batch.id == batch).execute()
                work.run_now(*_jobs(members))
            return
        failed = Member.select().where(members, Member.state != "completed").exists()
        if failed:
            break
        step += 1
    _end(services, work, found, min(step, max(found.steps - 1, 0)), failed=failed)


def _end(services: Services, work: UnitOfWork, batch: Batch, step: int, *, failed: bool) -> None:
    """End a batch: start the callbacks that apply; cancel the other ones, and the later steps."""
    state = "failed" if failed else "completed"
    ended = {"state": state, "step": step, "finished_at": services.clock.now()}
    Batch.update(ended).where(Batch.id == batch.id).execute()
    applies = ("end", "failure") if failed else ("end", "success")
    left = (Member.batch == batch.id) & (Member.state == "open")
    started = left & Member.role.in_(applies)
    work.run_now(*_jobs(started))
    skipped = left & Member.role.not_in(applies)
    work.cancel(*_jobs(skipped))
    Member.update(state="skipped").where(skipped).execute()


def _jobs(members: Any) -> Iterable[int]:
    return [row.job for row in Member.select(Member.job).where(members)]


@actor(name="batches.advance", queue="batches")
def look(job: JobContext, batch: int) -> None:
    """Look at a batch of which a job was completed."""
    with job.services.unit_of_work() as work:
        advance(job.services, work, batch)


@actor(name="batches.sweep", queue="batches")
def sweep(job: JobContext) -> None:
    """Find the jobs of batches that ended without success; delete what is older than its time."""
    services = job.services
    settings: BatchSettings = services.settings("batches")
    with services.unit_of_work() as work:
        for number, batch, state in work.database.read(_ENDED):
            ended = (Member.job == number) & (Member.state == "open")
            if Member.update(state=state).where(ended).execute():
                _look_at(work, batch)
        _delete_old(services.clock.now(), int(settings.keep_days * 86_400_000))


def _delete_old(now: int, keep: int) -> None:
    old = [each.id for each in Batch.select(Batch.id).where(Batch.finished_at < now - keep)[:_MOST]]
    Member.delete().where(Member.batch.in_(old)).execute()
    Batch.delete().where(Batch.id.in_(old)).execute()
    for model, expired in (
        (Result, Result.expires_at < now),
        (Report, Report.updated_at < now - keep),
    ):
        rows = model.select(model.job).where(expired).limit(_MOST)
        model.delete().where(model.job.in_([each.job for each in rows])).execute()
