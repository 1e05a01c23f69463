"""Plugins of the proof ``reload``: each effect is a row, which reveals lost and double effects.

``orders`` is always enabled. ``extras`` is optional: a route, an actor, a handler. ``stuck``
composes but cannot start.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rolehost.api import (
    Actor,
    AnyEvent,
    Event,
    EventContext,
    Handler,
    JobContext,
    Migrations,
    PluginInfo,
    ProcessContext,
    Route,
    StartError,
    actor,
    handler,
    hookimpl,
)

#: Import name of the package with the table; the proof writes this package.
TABLES = "reload_proof_tables"

#: Duration of a job in seconds, so that a queue builds up.
WORK = 0.005


def effect(work: Any, kind: str, number: int) -> None:
    """Write the row of one effect within a unit of work."""
    work.transaction.execute("INSERT INTO effects (kind, number) VALUES (?, ?)", (kind, number))


@actor(queue="orders")
def count(job: JobContext, number: int) -> None:
    """Have an effect."""
    time.sleep(WORK)  # the work itself
    with job.services.unit_of_work() as work:
        effect(work, "count", number)


@actor(queue="orders")
def count_extra(job: JobContext, number: int) -> None:
    """Have an effect; if its plugin is not enabled, the job waits."""
    with job.services.unit_of_work() as work:
        effect(work, "count_extra", number)


@handler(topic="orders", group="orders", payload=int)
def heard(context: EventContext, event: Event[int]) -> None:
    """Have an effect."""
    with context.services.unit_of_work() as work:
        effect(work, "heard", event.data)


@handler(topic="orders", group="extras", payload=int)
def heard_extra(context: EventContext, event: Event[int]) -> None:
    """Have an effect; if its plugin was not enabled, reading resumes at the same position."""
    with context.services.unit_of_work() as work:
        effect(work, "heard_extra", event.data)


#: The kinds of effects; every order has each of them once.
KINDS = ("count", "count_extra", "heard", "heard_extra")


class Ping:
    """Answers immediately."""

    async def on_get(self, req: Any, resp: Any) -> None:
        """Answer."""
        resp.media = {"pong": True}


class Orders:
    """Takes orders; each has a number."""

    def on_post(self, req: Any, resp: Any) -> None:
        """Enqueue two jobs and publish an event, in one unit of work."""
        number = int(req.context.body)
        with req.context.services.unit_of_work() as work:
            work.enqueue(count, number=number)
            work.enqueue(count_extra, number=number)
            work.publish(order(number))
        resp.status = 202


def order(number: int) -> AnyEvent:
    """Return the event of an order."""
    key = str(number % 8)
    return Event(topic="orders", type="order", data=number, id=f"order-{number}", key=key)


class OrdersPlugin:
    """Always enabled."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(
            api=1,
            requires=("database", "queue", "stream"),
            enqueues=("count", "count_extra"),
            publishes=("orders",),
        )

    @hookimpl
    def rolehost_migrations(self) -> Sequence[Migrations]:
        return [Migrations(package=TABLES)]

    @hookimpl
    def rolehost_routes(self) -> Sequence[Route]:
        return [Route("/ping", Ping()), Route("/orders", Orders())]

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [count]

    @hookimpl
    def rolehost_handlers(self) -> Sequence[Handler]:
        return [heard]


class ExtrasPlugin:
    """Enabled by some reloads only."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "queue", "stream"))

    @hookimpl
    def rolehost_routes(self) -> Sequence[Route]:
        return [Route("/extra", Ping())]

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [count_extra]

    @hookimpl
    def rolehost_handlers(self) -> Sequence[Handler]:
        return [heard_extra]


class StuckPlugin:
    """Composes, but cannot start in the role that is replaced last."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1)

    @hookimpl
    def rolehost_start(self, context: ProcessContext) -> None:
        if context.role == "http":
            raise StartError("stuck on purpose")


orders, extras, stuck = OrdersPlugin(), ExtrasPlugin(), StuckPlugin()
