"""The plugin of ``jobs-storm``: an actor for each feature of jobs, which notes its effects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rolehost.api import (
    Actor,
    Complete,
    Dead,
    JobContext,
    JobQueue,
    Limits,
    Outcome,
    PluginInfo,
    Retry,
    RetryPolicy,
    Schedule,
    Services,
    Snooze,
    actor,
    hookimpl,
)
from rolehost_batches import keep_result, report_progress

#: Attempts of each actor; jobs with as many ``fails`` become dead.
ATTEMPTS = 4
RETRY = RetryPolicy(attempts=ATTEMPTS, delays=(0.1,), jitter=0.5)

#: Milliseconds between the check of ``expires_at`` and the first line of the actor, at most.
SLACK = 1000

#: Seconds after which ``storm.slow`` is interrupted.
LIMIT = 0.3

_QUEUE = JobQueue("storm", Limits(concurrency=200))


def note(services: Services, job: int, kind: str, text: str = "") -> None:
    """Write an effect of a job in its unit of work."""
    with services.unit_of_work() as work:
        database = work.database.peewee
        marks = ", ".join([database.param] * 4)
        database.execute_sql(
            f"INSERT INTO storm_effects (job, kind, text, at) VALUES ({marks})",
            (job, kind, text, services.clock.now()),
        )


def _noted(job: JobContext, kind: str) -> bool:
    mark = job.services.database.peewee.param
    with job.services.unit_of_work() as work:
        found = work.database.peewee.execute_sql(
            f"SELECT count(*) FROM storm_effects WHERE job = {mark} AND kind = {mark}",
            (job.id, kind),
        )
        return bool(found.fetchone()[0])


def _fail(job: JobContext, fails: int) -> None:
    if job.attempt <= fails:
        raise RuntimeError(f"attempt {job.attempt} fails")


def _work(job: JobContext, fails: int = 0) -> None:
    _fail(job, fails)
    note(job.services, job.id, "done")


@actor(name="storm.plain", queue="storm", retry=RETRY)
def plain(job: JobContext, fails: int = 0) -> None:
    """Fail in the first attempts, then have an effect."""
    _work(job, fails)


@actor(name="storm.outcome", queue="storm", retry=RETRY)
def outcome(job: JobContext, how: str) -> Outcome:
    """End the first attempt with this outcome."""
    if how == "dead":
        raise Dead("it was told to")
    if how == "raised" and job.attempt == 1:
        raise Retry("it was told to", 0.1)
    if how == "returned" and job.attempt == 1:
        note(job.services, job.id, "kept")
        return Retry("it was told to", 0.1)
    if how == "snooze" and not _noted(job, "kept"):
        note(job.services, job.id, "kept")
        return Snooze(0.2)
    _work(job)
    return None


@actor(name="storm.timed", queue="storm", retry=RETRY)
def timed(job: JobContext, earliest: int, latest: int) -> None:
    """Note when the attempt starts."""
    now = job.services.clock.now()
    text = "early" if now < earliest else "late" if now >= latest + SLACK else ""
    note(job.services, job.id, "done", text)


@actor(name="storm.keyed", queue="storm", retry=RETRY)
def keyed(job: JobContext, fails: int = 0) -> None:
    """Run in the order of its key."""
    _work(job, fails)


@actor(
    name="storm.parted",
    queue=_QUEUE,
    partition="tenant",
    partition_limits=Limits(concurrency=4),
    retry=RETRY,
)
def parted(job: JobContext, tenant: str, fails: int = 0) -> None:
    """Run in the partition of its tenant."""
    _work(job, fails)


@actor(name="storm.rated", queue="rated", limits=Limits(rate=1000, burst=100), retry=RETRY)
def rated(job: JobContext) -> None:
    """Run at a limited rate."""
    _work(job)


@actor(name="storm.unique", queue="storm", retry=RETRY)
def unique(job: JobContext, text: str) -> None:
    """Run once for each text that waits."""
    note(job.services, job.id, "done", text)


@actor(name="storm.grouped", queue="grouped", grouped=True, retry=RETRY)
def grouped(job: JobContext, fails: int = 0) -> None:
    """Share a transaction."""
    _work(job, fails)


@actor(name="storm.waits", queue="waits", retry=RETRY, time_limit=30)
async def waits(job: JobContext, seconds: float, fails: int = 0) -> Outcome:
    """Wait on the event loop."""
    await asyncio.sleep(seconds)
    _fail(job, fails)
    return Complete(_complete, job)


def _complete(job: JobContext) -> None:
    keep_result(job, job.id)
    note(job.services, job.id, "done")


@actor(name="storm.keeps", queue="storm", retry=RETRY)
def keeps(job: JobContext, fails: int = 0) -> None:
    """Keep a result, and report progress."""
    report_progress(job, 0.5, "half")
    _fail(job, fails)
    keep_result(job, job.id)
    note(job.services, job.id, "done")


@actor(name="storm.tracked", queue="storm", retry=RETRY, history=True)
def tracked(job: JobContext, fails: int = 0) -> None:
    """Have each attempt in its history."""
    _work(job, fails)


@actor(name="storm.renamed", queue="storm", retry=RETRY, aliases=("storm.old",))
def renamed(job: JobContext) -> None:
    """Have an earlier name."""
    _work(job)


@actor(name="storm.slow", queue="slow", retry=RETRY, time_limit=LIMIT)
def slow(job: JobContext) -> None:
    """Take longer than the time limit in the first attempt."""
    if job.attempt == 1:
        until = time.monotonic() + 5 * LIMIT
        while time.monotonic() < until:
            time.sleep(0.01)  # the work of the job
    _work(job)


@actor(name="storm.callback", queue="storm", retry=RETRY)
def callback(job: JobContext, kind: str) -> None:
    """Note the end of a batch."""
    note(job.services, job.id, kind)


@actor(name="storm.tick", queue="storm", retry=RETRY)
def tick(job: JobContext) -> None:
    """Run by a schedule."""
    _work(job)


ACTORS: Sequence[Actor] = (
    plain,
    outcome,
    timed,
    keyed,
    parted,
    rated,
    unique,
    grouped,
    waits,
    keeps,
    tracked,
    renamed,
    slow,
    callback,
    tick,
)


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    names = [name for each in ACTORS for name in (each.name, *each.aliases)]
    return PluginInfo(api=2, requires=("database",), enqueues=tuple(names))


@hookimpl
def rolehost_actors() -> Sequence[Actor]:
    """Return the actors."""
    return ACTORS


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    """Return a schedule that ticks each second."""
    return [Schedule(name="storm.tick", actor=tick, every=1.0, overlap="skip")]
