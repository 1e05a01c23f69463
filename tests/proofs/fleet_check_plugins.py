"""Small plugins to add to the real deployments, so that a fleet has an error to find."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from rolehost.api import (
    PLUGIN_API,
    Actor,
    Command,
    Handler,
    Metric,
    Migrations,
    PluginInfo,
    Route,
    Schedule,
    hookimpl,
)

#: Hook → kind of its contribution.
HOOKS = {
    "rolehost_actors": Actor,
    "rolehost_handlers": Handler,
    "rolehost_schedules": Schedule,
    "rolehost_migrations": Migrations,
    "rolehost_commands": Command,
    "rolehost_routes": Route,
}


class Placed(msgspec.Struct):
    """An event that a shop publishes: an order was placed."""

    id: str
    cents: int


class Paid(msgspec.Struct):
    """The order event that a ledger expects: it has more fields than the shop publishes."""

    id: str
    cents: int
    currency: str


class Page:
    """A resource."""

    async def on_get(self, req: Any, resp: Any) -> None:
        resp.text = "here"


def plugin(*given: Any, **info: Any) -> SimpleNamespace:
    """Return a plugin with these contributions and this introduction."""

    @hookimpl
    def rolehost_plugin() -> PluginInfo:
        return PluginInfo(api=PLUGIN_API, summary="Seeded", **info)

    def giving(items: list[Any]) -> Any:
        @hookimpl
        def hook() -> list[Any]:
            return items

        return hook

    made = SimpleNamespace(rolehost_plugin=rolehost_plugin)
    for name, kind in HOOKS.items():
        items = [item for item in given if isinstance(item, kind)]
        if items:
            function = giving(items)
            function.__name__ = name
            setattr(made, name, function)
    return made


def work(job: Any) -> None:
    """Do nothing: the function of an actor."""


def work_for(job: Any, *, whom: str) -> None:
    """Do nothing: the function of an actor with an argument."""


def handle(context: Any, event: Any) -> None:
    """Do nothing: the function of a handler."""


def counter(name: str, *labels: str) -> Metric:
    """Return a counter with these labels."""
    return Metric(name=name, kind="counter", summary="Seeded", labels=labels)


def actor(name: str, **options: Any) -> Actor:
    """Return an actor that does nothing."""
    return Actor(fn=options.pop("fn", work), name=name, **options)


def handler(name: str, topic: str, group: str, **options: Any) -> Handler:
    """Return a handler that does nothing."""
    return Handler(fn=handle, name=name, topic=topic, group=group, **options)
