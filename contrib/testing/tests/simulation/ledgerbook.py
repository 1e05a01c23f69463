"""A plugin for simulations of the host itself: each kind of work, with effects to be counted."""

from __future__ import annotations

from typing import Any

import msgspec
from rolehost.api import (
    PLUGIN_API,
    Actor,
    Event,
    Handler,
    PluginInfo,
    RetryPolicy,
    Schedule,
    Unique,
    actor,
    hookimpl,
)

QUICK = RetryPolicy(attempts=5, base=0.1, max_delay=1.0)


class Booked(msgspec.Struct):
    """Payload of the event."""

    number: int


@actor(name="book.write", queue="book", retry=QUICK)
def write(job: Any, number: int) -> None:
    """Publish, in the unit of work of the job; fail now and then."""
    if job.services.random.random() < 0.1:
        raise RuntimeError("now and then")
    with job.services.unit_of_work() as work:
        work.publish(Event(topic="booked", type="booked", data=Booked(number), key=str(number % 3)))


@actor(name="book.plain", queue="book", retry=QUICK)
def plain(job: Any, number: int) -> None:
    """Do nothing that lasts."""


@actor(name="book.shared", queue="book", retry=QUICK, grouped=True)
def shared(job: Any, number: int) -> None:
    """Enqueue, in a transaction that other jobs share; fail now and then after that."""
    with job.services.unit_of_work() as work:
        work.enqueue(plain, number=number)
    if job.services.random.random() < 0.1:
        raise RuntimeError("now and then")


@actor(name="book.only", queue="book", retry=QUICK)
def only(job: Any) -> None:
    """Be enqueued under one unique text."""


@actor(name="book.tick", queue="book", retry=QUICK)
def tick(job: Any) -> None:
    """Be enqueued by the schedule."""
    with job.services.unit_of_work() as work:
        work.enqueue(plain, number=0)


def tallied(context: Any, events: list[Event[Booked]]) -> None:
    """Enqueue for several events, in their one unit of work; fail now and then after that."""
    with context.services.unit_of_work() as work:
        work.enqueue_many(plain, [{"number": event.data.number} for event in events])
    if context.services.random.random() < 0.1:
        raise RuntimeError("now and then")


def booked(context: Any, event: Event[Booked]) -> None:
    """Enqueue, in the unit of work of the event; fail now and then, while later events wait."""
    if context.services.random.random() < 0.1:
        raise RuntimeError("now and then")
    with context.services.unit_of_work() as work:
        work.enqueue(shared, number=event.data.number)


def checked(context: Any, event: Event[Booked]) -> None:
    """Enqueue, in the unit of work of the event; fail often before that."""
    if context.services.random.random() < 0.4:
        raise RuntimeError("often")
    with context.services.unit_of_work() as work:
        work.enqueue(plain, number=event.data.number)


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(
        api=PLUGIN_API,
        enqueues=("book.write", "book.plain", "book.shared", "book.only", "book.tick"),
        publishes=("booked",),
    )


@hookimpl
def rolehost_actors() -> list[Actor]:
    return [write, plain, shared, only, tick]


@hookimpl
def rolehost_handlers() -> list[Handler]:
    return [
        Handler(
            name="booked",
            topic="booked",
            group="readers",
            payload=Booked,
            fn=booked,
            retry=QUICK,
            grouped=True,
        ),
        Handler(
            name="tallied",
            topic="booked",
            group="tallies",
            payload=Booked,
            fn=tallied,
            batch=4,
            retry=QUICK,
        ),
        Handler(
            name="checked",
            topic="booked",
            group="checks",
            payload=Booked,
            fn=checked,
            retry=QUICK,
        ),
    ]


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    return [Schedule(name="book.tick", actor="book.tick", every=60.0)]


def enqueue_one(client: Any) -> None:
    """Enqueue a job of a key."""
    with client.services.unit_of_work() as work:
        job = work.enqueue(write, number=client.number, key=str(client.number % 2))
    client.acknowledged("jobs", job.id)


def enqueue_unique(client: Any) -> None:
    """Enqueue a job unless one waits."""
    with client.services.unit_of_work() as work:
        work.enqueue(only, unique=Unique("only", until="ended"))


def publish_some(client: Any) -> None:
    """Publish events of several keys."""
    with client.services.unit_of_work() as work:
        for number in range(client.number, client.number + 3):
            work.publish(
                Event(topic="booked", type="booked", data=Booked(number), key=str(number % 7))
            )


ACTIONS = (enqueue_one, enqueue_unique, publish_some)


def one_of_its_kind(world: Any) -> bool:
    """Return whether no two unfinished jobs have the same unique text."""
    rows = world.rows(
        "SELECT count(*) FROM rolehost_jobs WHERE actor = 'book.only' AND state IN"
        " ('available', 'scheduled', 'claimed', 'running', 'retrying')"
    )
    return bool(rows[0][0] <= 1)


def shared_once(world: Any) -> bool:
    """Return whether no job in a shared transaction enqueued twice."""
    return not world.rows(
        "SELECT 1 FROM rolehost_jobs WHERE actor = 'book.plain' AND cause LIKE 'job:%'"
        " GROUP BY cause HAVING count(*) > 1"
    )


def all_written(world: Any) -> bool:
    """Return whether every acknowledged job has ended."""
    rows = world.rows("SELECT id FROM rolehost_jobs WHERE state IN ('completed', 'dead')")
    return set(world.acknowledged.get("jobs", ())) <= {number for (number,) in rows}
