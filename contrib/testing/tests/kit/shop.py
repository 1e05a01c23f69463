"""A plugin with one of each contribution, for the tests of the kit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import click
import falcon
from msgspec import Meta, Struct
from peewee import AutoField, CharField, IntegerField, Model
from rolehost.api import (
    Check,
    Command,
    Event,
    EventContext,
    JobContext,
    Middleware,
    Migrations,
    PluginInfo,
    ProcessContext,
    RetryPolicy,
    Route,
    Schedule,
    Services,
    Settings,
    actor,
    handler,
    hookimpl,
)
from rolehost.api.http import decode


class ShopSettings(Settings, frozen=True):
    greeting: str = "hello"
    folder: Path | None = None


class Order(Model):
    id = AutoField()
    item = CharField()
    count = IntegerField()
    stamped = IntegerField(default=0)

    class Meta:
        table_name = "shop_orders"


class OrderIn(Struct):
    item: str
    count: Annotated[int, Meta(gt=0)] = 1


class Mailer:
    """A service of the plugin; tests read the letters that it sent."""

    sent: list[str] = []  # noqa: RUF012 - cleared by the fixture

    def __init__(self, services: Services) -> None:
        self.greeting = services.settings("shop").greeting

    def send(self, text: str) -> None:
        self.sent.append(f"{self.greeting} {text}")


class Boom(Exception):
    pass


@actor(name="shop.mail", retry=RetryPolicy(attempts=3, base=10.0, jitter=0.0))
def mail(job: JobContext, order: int, item: str, options: dict[str, Any] | None = None) -> None:
    if item == "bomb" or (item == "dud" and job.attempt == 1):
        raise Boom(f"no {item}")
    job.services.get(Mailer).send(item)
    with job.services.unit_of_work():
        Order.update(stamped=Order.stamped + 1).where(Order.id == order).execute()


@actor(name="shop.clean")
def clean(job: JobContext, older: int = 7) -> None:
    Mailer.sent.append(f"cleaned {older}")


@actor(name="shop.ping", durable=False, retry=RetryPolicy(attempts=2, base=1.0, jitter=0.0))
def ping(services: Services, text: str) -> None:
    if text == "bomb":
        raise Boom(text)
    Mailer.sent.append(f"ping {text}")


class Sold(Struct):
    item: str
    order: int


@handler(
    topic="shop.sold",
    group="stock",
    name="shop.stock",
    payload=Sold,
    retry=RetryPolicy(attempts=2, base=0.5, jitter=0.0),
)
def stock(context: EventContext, event: Event[Sold]) -> None:
    if event.data.item == "lost":
        raise Boom("not on stock")
    with context.services.unit_of_work():
        Order.update(count=Order.count - 1).where(Order.id == event.data.order).execute()


class Orders:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        given = decode(req.context.body, OrderIn)
        services = req.context.services
        with services.unit_of_work() as work:
            order = Order.create(item=given.item, count=given.count)
            work.enqueue(mail, order=order.id, item=given.item, options={"a": 1, "b": [1, 2]})
            sold = Sold(given.item, order.id)
            work.publish(Event(topic="shop.sold", type="sold", data=sold, key=given.item))
        resp.status = falcon.HTTP_201
        resp.media = {"id": order.id, "role": services.role}

    async def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"query": req.params, "agent": req.get_header("X-Agent")}


class Stamp:
    async def process_response(self, req: Any, resp: Any, resource: Any, ok: bool) -> None:
        resp.set_header("X-Stamp", "shop")


@click.command()
@click.option("--least", type=int, default=0)
@click.pass_obj
def report(context: Any, least: int) -> None:
    """Count orders."""
    with context.services().database.session():
        click.echo(f"{Order.select().where(Order.count >= least).count()} orders")


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(
        api=1,
        settings=ShopSettings,
        requires=("database", "cache"),
        enqueues=("shop.mail", "shop.clean", "shop.ping"),
        publishes=("shop.sold",),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    return [Migrations(package="contrib.testing.tests.kit.shop_migrations", models=(Order,))]


@hookimpl
def rolehost_routes() -> list[Route]:
    return [Route("/orders", Orders(), idempotent=True)]


@hookimpl
def rolehost_middleware() -> list[Middleware]:
    return [Middleware("stamp", Stamp())]


@hookimpl
def rolehost_actors() -> list[Any]:
    return [mail, clean, ping]


@hookimpl
def rolehost_handlers() -> list[Any]:
    return [stock]


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    return [Schedule(name="shop.nightly", actor=clean, arguments={"older": 3}, every=3600)]


@hookimpl
def rolehost_checks() -> list[Check]:
    return [Check(name="shop", fn=lambda services: "open")]


@hookimpl
def rolehost_commands() -> list[Command]:
    return [
        Command(
            name="shop-report",
            target="contrib.testing.tests.kit.shop:report",
            summary="Count orders.",
        )
    ]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    context.services.register(Mailer, Mailer)
