"""Building blocks of the faulty example plugins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rolehost.api import (
    PLUGIN_API,
    Actor,
    Event,
    Handler,
    Migrations,
    PluginInfo,
    ProcessContext,
    RetryPolicy,
    hookimpl,
)
from rolehost_testing.simulation import Client, SimulatedWorld, Simulation

QUICK = RetryPolicy(attempts=8, base=0.1, max_delay=1.0)
#: The initial stock.
STOCK = 1000


class OrderEvent(msgspec.Struct):
    """Payload of every event of the shop."""

    order: int


class Memory:
    """State in the memory of a process, between two jobs."""

    def __init__(self) -> None:
        self.orders: list[int] = []


class Bank:
    """Another server, called over the network."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._known: set[str] = world.notes.setdefault("known", set())
        self._charged: Counter[int] = world.notes.setdefault("charged", Counter())

    def charge(self, order: int, key: str | None = None) -> None:
        """Charge an order; under one key once, however often it is asked."""
        self._world.pause("bank.before")
        if key is None or key not in self._known:
            self._charged[order] += 1
            if key is not None:
                self._known.add(key)
        self._world.pause("bank.after")


class Shop:
    """A plugin of some actors and handlers."""

    def __init__(self, contributions: Sequence[Actor | Handler]) -> None:
        self._actors = [each for each in contributions if isinstance(each, Actor)]
        self._handlers = [each for each in contributions if isinstance(each, Handler)]

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(
            api=PLUGIN_API,
            requires=("database", "queue", "stream"),
            enqueues=tuple(each.name for each in self._actors),
            publishes=("shop",),
        )

    @hookimpl
    def rolehost_actors(self) -> list[Actor]:
        return self._actors

    @hookimpl
    def rolehost_handlers(self) -> list[Handler]:
        return self._handlers

    @hookimpl
    def rolehost_migrations(self) -> list[Migrations]:
        return [Migrations(package="contrib.testing.tests.simulation.shop_tables")]

    @hookimpl
    def rolehost_start(self, context: ProcessContext) -> None:
        context.services.register(Memory, lambda _services: Memory())


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A faulty or corrected plugin, with its actions and invariants.

    Attributes:
        parts: actors and handlers.
        actions: actions of clients.
        invariants: hold at every step.
        eventually: hold at the end.
    """

    parts: Sequence[Actor | Handler]
    actions: Sequence[Callable[[Client], None]]
    invariants: Sequence[Callable[[SimulatedWorld], object]] = field(default=())
    eventually: Sequence[Callable[[SimulatedWorld], object]] = field(default=())

    def simulation(self) -> Simulation:
        """Return a simulation of it."""
        return Simulation(
            [Shop(self.parts)],
            actions=self.actions,
            invariants=self.invariants,
            eventually=self.eventually,
            services={Bank: Bank},
        )


def actor(fn: Callable[..., Any], retry: RetryPolicy = QUICK) -> Actor:
    """Return an actor of a function."""
    return Actor(name=f"shop.{fn.__name__}", fn=fn, queue="shop", retry=retry)


def handler(fn: Callable[..., Any]) -> Handler:
    """Return the handler of the shop's topic."""
    return Handler(name="shop", topic="shop", group="shop", payload=OrderEvent, fn=fn, retry=QUICK)


def event(kind: str, order: int, key: str) -> Event[OrderEvent]:
    """Return an event of the shop."""
    return Event(topic="shop", type=kind, data=OrderEvent(order), key=key)


def write(work: Any, sql: str, *params: Any) -> int:
    """Run one statement in a unit of work; return how many rows it changed."""
    changed: int = work.transaction.execute(sql, params).rowcount
    return changed


def book(work: Any, ref: object) -> None:
    """Write an entry."""
    write(work, "INSERT INTO shop_entry (ref) VALUES (?)", str(ref))


def enqueue(part: Actor, **options: Any) -> Callable[[Client], None]:
    """Return an action that enqueues a job for an order and acknowledges it."""

    def place(client: Client) -> None:
        client.services.enqueue(part, order=client.number, **options)
        client.acknowledged("orders", client.number)

    return place


def booked_once(world: SimulatedWorld) -> None:
    """Every entry is there at most once."""
    rows = world.rows("SELECT ref FROM shop_entry GROUP BY ref HAVING count(*) > 1")
    assert not rows, f"entry {rows[0][0]} was written twice"


def all_booked(world: SimulatedWorld) -> None:
    """Every acknowledged order has its entry."""
    there = {ref for (ref,) in world.rows("SELECT ref FROM shop_entry")}
    for order in world.acknowledged.get("orders", ()):
        assert str(order) in there, f"order {order} has no entry"


def orders_are(state: str) -> Callable[[SimulatedWorld], None]:
    """Return an invariant: every order is in a state."""

    def all_orders(world: SimulatedWorld) -> None:
        for order, found in world.rows("SELECT id, state FROM shop_order"):
            assert found == state, f"order {order} is {found}, not {state}"

    return all_orders
