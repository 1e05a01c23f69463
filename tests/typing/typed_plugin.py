"""A plugin that uses the whole public API, as its author writes it under ``mypy --strict``.

``scripts/check.sh types`` checks it, and ``test_typed_plugin.py`` runs it. Each
``type: ignore`` is an error of an author that must be found: strict mode reports those that
are not needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, assert_type

import falcon
import falcon.asgi
import msgspec
import peewee
from rolehost.api import (
    PLUGIN_API,
    Actor,
    CachedFunction,
    Caching,
    Check,
    Command,
    CommandContext,
    Cursor,
    Database,
    Dead,
    DeclareContext,
    Event,
    EventContext,
    ExtensionPoint,
    Handler,
    Job,
    JobContext,
    Metric,
    Middleware,
    Outcome,
    PluginInfo,
    ProcessContext,
    Retry,
    RetryPolicy,
    Route,
    Schedule,
    Secret,
    Services,
    Settings,
    Snooze,
    Transaction,
    UnitOfWork,
    actor,
    cached,
    handler,
    hookimpl,
)
from rolehost.api.http import Operation, decode, operation


class ShopSettings(Settings, frozen=True):
    currency: str = "EUR"
    keep: Annotated[int, msgspec.Meta(ge=1)] = 30
    token: Secret | None = None
    folder: Path = Path("orders")


class Order(msgspec.Struct, frozen=True):
    item: str
    count: int = 1


class Row(peewee.Model):
    item = peewee.TextField()


class Catalogue(ABC):
    @abstractmethod
    def of(self, item: str) -> int: ...


@dataclass(frozen=True)
class Prices(Catalogue):
    currency: str

    def of(self, item: str) -> int:
        return len(item)


# --- actors

PICKED = Metric(name="shop_picked", kind="counter", summary="Orders picked.", labels=("item",))


@actor(name="shop.pick", queue="shop", retry=RetryPolicy(attempts=3, delays=(1, 5)), time_limit=5)
def pick(job: JobContext, item: str, count: int = 1) -> Outcome:
    assert_type(job.services, Services)
    assert_type(job.id, int)
    assert_type(job.last_attempt, bool)
    job.services.measure(PICKED, 1, item)
    if count > 9:
        return Dead("too many")
    if count > 5:
        return Retry("many", delay=1.5)
    return Snooze(60) if count < 0 else None


@actor()
def tidy(job: JobContext) -> None:
    with job.services.unit_of_work() as work:
        assert_type(work, UnitOfWork)


@actor(name="shop.ping", durable=False)
def ping(services: Services, text: str) -> None:
    services.cache.set("ping", text.encode(), ttl=1)


def called_as_by_a_test(job: JobContext, services: Services) -> None:
    assert_type(pick(job, "pear"), Outcome)
    assert_type(pick(job, item="pear", count=2), Outcome)
    pick(job, itm="pear")  # type: ignore[call-arg]
    pick(job, 7)  # type: ignore[arg-type]
    ping(services, "x")
    ping(job, "x")  # type: ignore[arg-type]
    assert_type(pick.name, str)
    assert_type(pick.retry, RetryPolicy)


if TYPE_CHECKING:

    @actor(queue=7)  # type: ignore[arg-type]
    def of_a_wrong_queue(job: JobContext) -> None: ...

    @actor()
    def of_a_wrong_outcome(job: JobContext) -> Outcome:
        return "done"  # type: ignore[return-value]


# --- events


@handler(topic="shop.orders", group="shop", payload=Order)
def on_order(context: EventContext, event: Event[Order]) -> None:
    assert_type(event.data, Order)
    assert_type(event.key, str | None)
    assert_type(context.services, Services)


@handler(topic="shop.orders", group="shop-batches", payload=Order, batch=10)
def on_orders(context: EventContext, events: list[Event[Order]]) -> None:
    assert_type(events[0].data.item, str)


@handler(topic="shop.raw", group="shop")
def on_bytes(context: EventContext, event: Event[bytes]) -> None:
    assert_type(event.data, bytes)


def handled_as_by_a_test(context: EventContext) -> None:
    event = Event(topic="shop.orders", type="order.placed", data=Order("pear"))
    assert_type(event, Event[Order])
    on_order(context, event)
    on_order(context, "pear")  # type: ignore[arg-type]


# --- routes


class Orders:
    @operation(summary="Order", request=Order, responses={202: Job}, tags=("shop",))
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        order = decode(b'{"item": "pear"}', Order)
        assert_type(order, Order)
        assert_type(decode(b"[]", list[Order] | None), list[Order] | None)
        services: Services = req.context.services
        with services.unit_of_work() as work:
            assert_type(place(services, work, order), Job)
        resp.media = {}

    @operation(summary="Look", query=Order, hidden=True)
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {}


if TYPE_CHECKING:

    @operation(sumary="Order")  # type: ignore[call-arg]
    def of_a_wrong_field(self: object, req: falcon.Request, resp: falcon.Response) -> None: ...

    @operation(tags="shop")  # type: ignore[arg-type]
    def of_wrong_tags(self: object, req: falcon.Request, resp: falcon.Response) -> None: ...


class Layer:
    async def process_request(self, req: falcon.asgi.Request, resp: object) -> None: ...


# --- the unit of work, storage, caching


def place(services: Services, work: UnitOfWork, order: Order) -> Job:
    job = work.enqueue(pick, item=order.item, count=order.count, key=order.item, delay=0.5)
    assert_type(job, Job)
    assert_type(job.id, int)
    work.enqueue("shop.pick", item="x", priority=3, unique="x")
    if TYPE_CHECKING:
        work.enqueue(pick, delay="soon")  # type: ignore[arg-type]
    assert_type(work.enqueue_many(pick, [{"item": "pear"}], delay=3), int)
    assert_type(work.enqueue_many(pick, [{"item": "pear"}], return_jobs=True), list[Job])
    assert_type(
        work.publish(Event(topic="shop.orders", type="order.placed", data=order, key="k")), str
    )
    work.after_commit(lambda: None)
    assert_type(work.database, Database)
    assert_type(work.database.read("SELECT 1"), list[tuple[Any, ...]])
    return job


def used(services: Services) -> None:
    assert_type(services.enqueue(pick, item="pear", delay=3), Job)
    services.send(ping, text="x", delay=1)
    if TYPE_CHECKING:
        services.send("shop.ping")  # type: ignore[arg-type]
    assert_type(services.clock.now(), int)
    assert_type(services.random.random(), float)
    assert_type(services.settings(ShopSettings), ShopSettings)
    assert_type(services.settings(ShopSettings).keep, int)
    assert_type(services.get(Prices), Prices)
    assert_type(services.get(Catalogue), Catalogue)
    assert_type(services.get(Catalogue).of("pear"), int)
    with services.database.session(), services.database.transaction() as transaction:
        assert_type(transaction, Transaction)
        assert_type(transaction.execute("SELECT ?", (1,)), Cursor)
        assert_type(services.cache.get("x"), bytes | None)


async def from_an_event_loop(services: Services) -> None:
    assert_type(await services.run(Prices("EUR").of, "pear"), int)
    if TYPE_CHECKING:
        await services.run(Prices("EUR").of, 7)  # type: ignore[arg-type]


def kept(services: Services) -> None:
    orders = services.caching("shop.orders", Order, ttl=60, stale=10, serializer="json")
    assert_type(orders, Caching[Order])
    assert_type(services.caching("shop.counts", int | None, ttl=None), Caching[int | None])
    assert_type(orders.get("x"), Order | None)
    assert_type(orders.get_or_compute("x", lambda: Order("pear")), Order)
    assert_type(price(services, "pear"), int)
    if TYPE_CHECKING:
        services.caching("shop.orders", Order, ttl=60, stael=10)  # type: ignore[call-arg]
        services.caching("shop.orders", Order, ttl=60, stale="10")  # type: ignore[arg-type]
        price(services, 7)  # type: ignore[arg-type]
    assert_type(price.forget(services, "pear"), bool)
    assert_type(price.values(services), Caching[int])


@cached(ttl=60)
def price(services: Services, item: str) -> int:
    return services.get(Prices).of(item)


by_annotation: Callable[[Services, str], int] = price
of_its_type: CachedFunction[[str], int] = price


# --- hooks


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(
        api=PLUGIN_API,
        summary="A shop",
        settings=ShopSettings,
        requires=("database", "queue", "cache[ttl]"),
        enqueues=("shop.pick",),
        publishes=("shop.orders",),
        payloads={"shop.orders": Order},
        extension_points=(ExtensionPoint(hook="shop_items", returns=str, summary="Items"),),
        metrics=(PICKED,),
    )


@hookimpl
def rolehost_routes(context: DeclareContext[ShopSettings]) -> Sequence[Route]:
    assert_type(context.settings, ShopSettings)
    assert_type(context.settings.token, Secret | None)
    return [Route("/orders", Orders())]


@hookimpl
def rolehost_middleware() -> Sequence[Middleware]:
    return [Middleware("shop.layer", Layer())]


@hookimpl
def rolehost_actors(context: DeclareContext) -> Sequence[Actor]:
    assert_type(context.plugin, str)
    return [pick, tidy, ping]


@hookimpl
def rolehost_handlers() -> Sequence[Handler]:
    return [on_order, on_orders, on_bytes]


@hookimpl
def rolehost_schedules(context: DeclareContext[ShopSettings]) -> Sequence[Schedule]:
    daily = Schedule(name="shop.tidy", actor=tidy, cron="0 4 * * *", timezone="Europe/Rome")
    if TYPE_CHECKING:
        Schedule(name="shop.x", actor=7, every=1)  # type: ignore[arg-type]
    return [daily]


@hookimpl
def rolehost_checks() -> Sequence[Check]:
    return [Check(name="shop", fn=healthy, ready=False)]


def healthy(services: Services) -> str | None:
    return services.deployment


@hookimpl
def rolehost_commands() -> Sequence[Command]:
    return [Command(name="shop", target="tests.typing.typed_plugin:command", summary="Shop")]


def command(context: CommandContext) -> None:
    assert_type(context.services(), Services)


@hookimpl
def rolehost_start(context: ProcessContext[ShopSettings]) -> None:
    currency = context.settings.currency
    assert_type(currency, str)
    context.services.register(Prices, lambda services: Prices(currency), close=lambda prices: None)
    context.services.register(Catalogue, lambda services: services.get(Prices))
    if TYPE_CHECKING:
        context.services.register(Prices, lambda services: "x")  # type: ignore[arg-type, return-value]


@hookimpl
def rolehost_stop(context: ProcessContext) -> None:
    assert_type(context.role, str)


described = Operation(summary="x", responses={204: None})
