"""Handlers of the proof ``kafka-faults``: their effects are rows in commit order."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any, cast

from rolehost.api import (
    AnyEvent,
    Complete,
    Event,
    EventContext,
    Handler,
    PluginInfo,
    RetryPolicy,
    handler,
    hookimpl,
)

#: Variable with the handlers of a deployment, separated by commas; default: all handlers.
WANTED = "KAFKA_FAULTS_HANDLERS"
#: Variable with the duration of the slow handler in seconds.
SLOW = "KAFKA_FAULTS_SLOW"

#: Seconds that each coroutine waits.
WAIT = 0.05

TOPICS = ("orders", "poison", "slow")

TABLES = (
    "CREATE TABLE effects (id INTEGER PRIMARY KEY, topic TEXT, key TEXT, n INTEGER, pid INTEGER)",
    "CREATE TABLE starts (topic TEXT, n INTEGER, pid INTEGER)",
)


def effect(context: EventContext, event: AnyEvent, topic: str | None = None) -> None:
    """Write the row of an event; None: with its own topic."""
    with context.services.unit_of_work() as work:
        cast(Any, work).transaction.execute(
            "INSERT INTO effects (topic, key, n, pid) VALUES (?, ?, ?, ?)",
            (topic or event.topic, event.key, event.data, os.getpid()),
        )


@handler(topic="orders", group="orders", payload=int)
def orders(context: EventContext, event: Event[int]) -> None:
    """Have an effect."""
    effect(context, event)


@handler(topic="orders", group="coroutines", payload=int)
async def coroutines(context: EventContext, event: Event[int]) -> Complete:
    """Wait, so that kills find coroutines in flight, and then have an effect."""
    await asyncio.sleep(WAIT)
    return Complete(effect, context, event, "coroutines")


@handler(topic="poison", group="poison", payload=int, retry=RetryPolicy(attempts=1))
def poison(context: EventContext, event: Event[int]) -> None:
    """Have an effect, unless the payload is not a number."""
    effect(context, event)


@handler(topic="slow", group="slow", payload=int)
def slow(context: EventContext, event: Event[int]) -> None:
    """Record the start outside the unit of work, take long, then have an effect."""
    with context.services.database.session(), context.services.database.transaction() as tx:
        tx.execute(
            "INSERT INTO starts (topic, n, pid) VALUES (?, ?, ?)",
            (event.topic, event.data, os.getpid()),
        )
    threading.Event().wait(float(os.environ[SLOW]))  # the work itself
    effect(context, event)


HANDLERS = {each.name: each for each in (orders, coroutines, poison, slow)}


class Faults:
    """The plugin."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "stream"), publishes=TOPICS)

    @hookimpl
    def rolehost_handlers(self) -> Sequence[Handler]:
        wanted = os.environ.get(WANTED)
        return [HANDLERS[name] for name in (wanted.split(",") if wanted else HANDLERS)]


plugin = Faults()
