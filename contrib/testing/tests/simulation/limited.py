"""Plugins for simulations of limits: jobs of actors, queues, partitions and keys.

``workers`` runs the actors. ``door`` is another deployment that enqueues for them and knows no
limit, like a process of an older version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rolehost.api import (
    PLUGIN_API,
    Actor,
    Dead,
    JobQueue,
    Limits,
    PluginInfo,
    RetryPolicy,
    Snooze,
    actor,
    hookimpl,
)
from rolehost.delivery import administration, limitstore
from rolehost_testing.kit.deploying import deployment
from rolehost_testing.simulation import Simulation

QUICK = RetryPolicy(attempts=3, base=0.1, max_delay=1.0)
MAIN = JobQueue("main", Limits(concurrency=5))
TENANTS = ("ann", "bob", "cid")


def act(job: Any) -> Any:
    """Have an effect in a unit of work; sometimes fail, wait, or give up."""
    chance = job.services.random.random()
    if chance < 0.08:
        raise RuntimeError("now and then")
    if chance < 0.12:
        return Snooze(0.5)
    if chance < 0.15:
        return Dead("given up")
    if chance < 0.3:
        return None
    with job.services.unit_of_work() as work:
        work.transaction.execute(
            "INSERT INTO rolehost_ticks (schedule, last_tick) VALUES (?, 0)"
            " ON CONFLICT (schedule) DO UPDATE SET last_tick = last_tick + 1",
            (f"{job.id}",),
        )
    return None


@actor(
    name="lim.shared", queue=MAIN, retry=QUICK, limits=Limits(concurrency=3),
    partition="tenant", partition_limits=Limits(concurrency=2),
)  # fmt: skip
def shared(job: Any, tenant: str) -> Any:
    """Run at most three times, and twice for a tenant."""
    return act(job)


@actor(
    name="lim.serial", queue=MAIN, retry=QUICK, partition="tenant",
    partition_limits=Limits(concurrency=1),
)  # fmt: skip
def serial(job: Any, tenant: str) -> Any:
    """Run once at a time for a tenant."""
    return act(job)


@actor(name="lim.paced", queue="other", retry=QUICK, limits=Limits(rate=0.5, burst=3))
def paced(job: Any, tenant: str) -> Any:
    """Run at a rate."""
    return act(job)


@actor(
    name="lim.dripped", queue="other", retry=QUICK, partition="tenant",
    partition_limits=Limits(rate=0.5, burst=2),
)  # fmt: skip
def dripped(job: Any, tenant: str) -> Any:
    """Run at a rate for a tenant."""
    return act(job)


@actor(name="lim.free", queue="other", retry=QUICK)
def free(job: Any, tenant: str) -> Any:
    """Run without a limit, unless one is set at run time."""
    return act(job)


@actor(
    name="lim.fair", queue="other", retry=QUICK, limits=Limits(concurrency=1), partition="tenant"
)
def fair(job: Any, tenant: str) -> Any:
    """Run once at a time, in turn for each tenant."""
    return act(job)


ACTORS = (shared, serial, paced, dripped, free, fair)
#: The same actors in a version that declares no limit.
OLD = tuple(
    dataclasses.replace(
        each, queue=each.queue, queue_limits=Limits(), limits=Limits(), partition=None,
        partition_limits=Limits(),
    )
    for each in ACTORS
)  # fmt: skip


class Plugin:
    """A plugin with some actors."""

    def __init__(self, *actors: Actor) -> None:
        self._actors = actors

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        """Describe it."""
        names = tuple(each.name for each in ACTORS)
        return PluginInfo(api=PLUGIN_API, requires=("database", "queue"), enqueues=names)

    @hookimpl
    def rolehost_actors(self) -> list[Actor]:
        """Return the actors."""
        return list(self._actors)


def enqueue(client: Any) -> None:
    """Enqueue some jobs, of tenants or of keys."""
    random = client.random
    same = random.choice(OLD) if random.random() < 0.3 else None
    with client.services.unit_of_work() as work:
        for _ in range(random.choice((1, 1, 5))):
            options: dict[str, Any] = {}
            if random.random() < 0.3:
                options["key"] = random.choice("kl")
            if random.random() < 0.1:
                options["delay"] = random.uniform(0.1, 2.0)
            if random.random() < 0.2:
                options["priority"] = random.choice((-1, 1))
            job = work.enqueue(same or random.choice(OLD), tenant=random.choice(TENANTS), **options)
            client.world.acknowledged.setdefault("jobs", []).append(job.id)


def line_up(client: Any) -> None:
    """Enqueue many jobs of one key."""
    random = client.random
    key = random.choice("kl")
    with client.services.unit_of_work() as work:
        for _ in range(random.choice((3, 10, 20))):
            one = random.choice((free, free, free, shared))
            job = work.enqueue(one, tenant=random.choice(TENANTS), key=key)
            client.world.acknowledged.setdefault("jobs", []).append(job.id)


def flood(client: Any) -> None:
    """Enqueue many jobs of one tenant and one of each other, once in a run."""
    if client.world.notes.setdefault("flood", client.number) != client.number:
        return
    with client.services.unit_of_work() as work:
        for tenant in ("ann",) * 10 + TENANTS:
            work.enqueue(OLD[-1], tenant=tenant)


def replay(client: Any) -> None:
    """Replay a job, or cancel it."""
    jobs = client.world.acknowledged.get("jobs")
    if not jobs:
        return
    runtime, job = client.services.delivery, client.random.choice(jobs)
    change = client.random.choice((administration.retry, administration.cancel))
    with runtime.database.session(), runtime.database.transaction() as tx:
        change(tx, job, runtime.clock.now())


def set_limit(client: Any) -> None:
    """Change a limit at run time, or return to the declared one."""
    random, runtime = client.random, client.services.delivery
    one = random.choice(ACTORS)
    name = random.choice((f"actor:{one.name}", f"queue:{one.queue}", f"partition:{one.name}/ann"))
    if name.startswith("partition:") and one.partition is None:
        return
    limits = random.choice(
        (Limits(concurrency=1), Limits(concurrency=4), Limits(rate=2.0, burst=2), Limits(rate=0.1))
    )
    with runtime.database.session(), runtime.database.transaction() as tx:
        if random.random() < 0.4:
            limitstore.reset(tx, name, runtime.clock.now())
        else:
            limitstore.store(tx, name, limits, runtime.clock.now())


def all_ended(world: Any) -> None:
    """Every job whose enqueueing was committed has ended."""
    rows = world.rows("SELECT id, state FROM rolehost_jobs")
    left = {number: state for number, state in rows if state not in ENDED}
    assert not left, f"jobs have not ended: {left}"


def effects_once(world: Any) -> None:
    """No completed job has had its effect twice, unless it was replayed."""
    twice = world.rows(
        "SELECT schedule FROM rolehost_ticks WHERE last_tick > 0 AND CAST(schedule AS INTEGER)"
        " NOT IN (SELECT job FROM simulation_replayed)"
    )
    assert not twice, f"effects of jobs {twice}"


ENDED = ("completed", "dead", "cancelled")


MIXED = (enqueue, enqueue, enqueue, replay, set_limit, flood)
#: Jobs of keys only, so that the next run of a key is often claimed before the last one has ended.
KEYS = (line_up, line_up, replay)


def limited_simulation(actions: Sequence[Any] = MIXED, **options: Any) -> Simulation:
    """Return the simulation: workers, and a deployment whose processes know no limit."""
    found = [
        deployment("workers", ["limited"], {}, Path.cwd()),
        deployment("door", ["limited-door"], {}, Path.cwd()),
    ]
    return Simulation(
        found,
        actions=list(actions),
        invariants=[],
        eventually=[all_ended, effects_once],
        extra={"limited": Plugin(*ACTORS), "limited-door": Plugin()},
        act=0.12,
        replicas={"worker": 2},
        **options,
    )
