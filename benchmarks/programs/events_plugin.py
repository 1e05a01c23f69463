"""The plugins of the event benchmarks: one handler each, with a given topic and group."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from rolehost.api import Event, EventContext, Handler, PluginInfo, handler, hookimpl

#: Environment variables with the topic and the group: every round reads with a new group.
TOPIC, GROUP = "BENCH_TOPIC", "BENCH_GROUP"
#: Maximum events of a batch.
BATCH = 500


class Order(msgspec.Struct):
    """The payload of an event."""

    number: int
    customer: str
    total: float


#: Called with the number of handled events; the measuring program sets it.
counted: Callable[[int], None] = id


def nothing(_context: EventContext, _event: Event[Order]) -> None:
    """Do nothing."""
    counted(1)


def effect(context: EventContext, event: Event[Order]) -> None:
    """Write one row, which commits together with the inbox entry."""
    with context.services.unit_of_work() as work:
        work.database.peewee.execute_sql(
            "INSERT INTO effects (number) VALUES (%s)", (event.data.number,)
        )
    counted(1)


def effects(context: EventContext, events: list[Event[Order]]) -> None:
    """Write a row for each event in one statement."""
    with context.services.unit_of_work() as work:
        rows = ", ".join(["(%s)"] * len(events))
        work.database.peewee.execute_sql(
            f"INSERT INTO effects (number) VALUES {rows}", [event.data.number for event in events]
        )
    counted(len(events))


class Handles:
    """A plugin with one handler."""

    def __init__(self, function: Callable[..., Any], batch: int = 1) -> None:
        self._function = function
        self._batch = batch

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "stream"))

    @hookimpl
    def rolehost_handlers(self) -> Sequence[Handler]:
        topic, group = os.environ[TOPIC], os.environ[GROUP]
        wrap = handler(topic=topic, group=group, payload=Order, batch=self._batch)
        return [wrap(self._function)]


plain = Handles(nothing)
each = Handles(effect)
many = Handles(effects, BATCH)
