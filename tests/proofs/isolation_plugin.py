"""The plugin of ``isolation``: jobs of tenants, and jobs with each kind of limit."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rolehost.api import (
    Actor,
    JobContext,
    JobQueue,
    Limits,
    PluginInfo,
    RetryPolicy,
    actor,
    hookimpl,
)

from benchmarks.programs import plugin

#: Jobs of a partition that may run at the same time, in both parts of the proof.
TENANT = 4

#: Seconds that a job takes of the partition with the backlog, and of the slow one.
BACKLOG, SLOW = 0.02, 1.0

#: Limits of the second part: of the actor, of the queue, and of the rate with its burst.
ACTOR, QUEUE, RATE, BURST = 8, 10, 50.0, 10

_QUEUE = JobQueue("limited", Limits(concurrency=QUEUE))


@actor(
    name="isolated",
    queue="bench",
    partition="tenant",
    partition_limits=Limits(concurrency=TENANT),
    retry=RetryPolicy(attempts=1000, delays=(5.0,)),
)
def isolated(_job: JobContext, number: int, tenant: str, sent: int = 0, path: str = "") -> None:
    """Do what the tenant is known for; the others do nothing, and tell how long they waited."""
    if tenant == "failing":
        raise RuntimeError("this tenant's jobs fail")
    if tenant in ("backlog", "slow"):
        time.sleep(BACKLOG if tenant == "backlog" else SLOW)  # the duration of the job
        return
    plugin.countdown.count(number)
    if path:
        plugin.tell(sent, path)


def _work(job: JobContext, seconds: float, fails: int) -> None:
    """Take some time, then fail in the first attempts, or write when this attempt ran."""
    began = time.time()
    time.sleep(seconds)  # the duration of the job
    if job.attempt <= fails:
        raise RuntimeError("it was told to fail")
    with job.services.unit_of_work() as work:
        database = work.database.peewee
        mark = database.param
        database.execute_sql(
            f"INSERT INTO proof_runs (job, began, ended) VALUES ({mark}, {mark}, {mark})",
            (job.id, began, time.time()),
        )


_RETRY = RetryPolicy(attempts=2, delays=(0.5,))


@actor(
    name="shared",
    queue=_QUEUE,
    limits=Limits(concurrency=ACTOR),
    partition="tenant",
    partition_limits=Limits(concurrency=TENANT),
    retry=_RETRY,
)
def shared(job: JobContext, tenant: str, seconds: float, fails: int = 0) -> None:
    """Run with limits of the actor, of each tenant and of the queue."""
    _work(job, seconds, fails)


@actor(
    name="single",
    queue="bench",
    partition="tenant",
    partition_limits=Limits(concurrency=1),
    retry=_RETRY,
)
def single(job: JobContext, tenant: str, seconds: float, fails: int = 0) -> None:
    """Run one at a time for each tenant."""
    _work(job, seconds, fails)


@actor(name="rated", queue=_QUEUE, limits=Limits(rate=RATE, burst=BURST), retry=_RETRY)
def rated(job: JobContext, seconds: float, fails: int = 0) -> None:
    """Run at a limited rate."""
    _work(job, seconds, fails)


@actor(name="keyed", queue="bench", retry=_RETRY)
def keyed(job: JobContext, seconds: float, fails: int = 0) -> None:
    """Run in the order of its key."""
    _work(job, seconds, fails)


ACTORS: Sequence[Actor] = (isolated, shared, single, rated, keyed)


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(
        api=1, requires=("database", "queue"), enqueues=tuple(each.name for each in ACTORS)
    )


@hookimpl
def rolehost_actors() -> Sequence[Actor]:
    return ACTORS
