"""A plugin for simulations of the engine itself: each kind of work, with effects to be counted."""

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
    actor,
    hookimpl,
)

QUICK = RetryPolicy(attempts=5, base=0.1, longest=1.0)


class Booked(msgspec.Struct):
    """Payload of the event."""

    number: int


@actor(name="book.write", queue="book", retry=QUICK)
def write(job: Any, number: int) -> None:
    """Publish, in the unit of work of the job."""
    with job.services.unit_of_work() as work:
        work.publish(Event(topic="booked", type="booked", data=Booked(number), key=str(number % 3)))


@actor(name="book.plain", queue="book", retry=QUICK)
def plain(job: Any, number: int) -> None:
    """Do nothing that lasts."""


@actor(name="book.tick", queue="book", retry=QUICK)
def tick(job: Any) -> None:
    """Be enqueued by the schedule."""
    with job.services.unit_of_work() as work:
        work.enqueue(plain, number=0)


def booked(context: Any, event: Event[Booked]) -> None:
    """Enqueue, in the unit of work of the event."""
    with context.services.unit_of_work() as work:
        work.enqueue(plain, number=event.data.number)


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(
        api=PLUGIN_API,
        enqueues=("book.write", "book.plain", "book.tick"),
        publishes=("booked",),
    )


@hookimpl
def rolehost_actors() -> list[Actor]:
    return [write, plain, tick]


@hookimpl
def rolehost_handlers() -> list[Handler]:
    return [
        Handler(name="booked", topic="booked", group="readers", payload=Booked, fn=booked, retry=QUICK)
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
        work.enqueue(plain, number=client.number, unique="only")


def publish_one(client: Any) -> None:
    """Publish an event of a key."""
    with client.services.unit_of_work() as work:
        work.publish(
            Event(
                topic="booked",
                type="booked",
                data=Booked(client.number),
                key=str(client.number % 2),
            )
        )


ACTIONS = (enqueue_one, enqueue_unique, publish_one)


def one_of_its_kind(world: Any) -> bool:
    """Say whether no two unfinished jobs have one ``unique``."""
    return not world.rows(
        "SELECT 1 FROM rolehost_jobs WHERE unique_key IS NOT NULL AND state IN"
        " ('available', 'scheduled', 'claimed', 'running', 'retrying')"
        " GROUP BY unique_key HAVING count(*) > 1"
    )
