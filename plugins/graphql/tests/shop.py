"""Plugins that give parts of a schema, as tests need them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import strawberry
from rolehost.api import PLUGIN_API, PluginInfo, StorageUnavailable, hookimpl
from rolehost_graphql import Context, Refused, Schema

Info = strawberry.Info[Context, None]

#: Keys of each batch that was looked up.
BATCHES: list[list[int]] = []


def prices(keys: list[int]) -> Sequence[int]:
    """Look up the prices of items."""
    BATCHES.append(keys)
    return [key * 100 for key in keys]


@strawberry.type
class Item:
    """Something to buy."""

    id: int
    name: str

    @strawberry.field
    async def price(self, info: Info) -> int:
        return await info.context.load(prices, self.id)

    @strawberry.field
    def related(self, first: int = 10) -> list[Item]:
        return [Item(id=self.id * 10 + n, name=f"related {n}") for n in range(first)]

    @strawberry.field(metadata={"cost": 50})
    def forecast(self) -> str:
        return "it will sell"


@strawberry.type
class Query:
    @strawberry.field
    def item(self, id: int) -> Item | None:
        return Item(id=id, name=f"item {id}") if id > 0 else None

    @strawberry.field
    def items(self, first: int = 10) -> list[Item]:
        return [Item(id=n, name=f"item {n}") for n in range(1, first + 1)]

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError("the password is hunter2")

    @strawberry.field
    def refused(self) -> str | None:
        raise Refused("not on Sundays", "CLOSED", day="Sunday")

    @strawberry.field
    def missing(self) -> str | None:
        raise KeyError("shelf 9")

    @strawberry.field
    def away(self) -> str | None:
        raise StorageUnavailable("no route to 10.0.0.7")

    @strawberry.field
    async def slow(self) -> str | None:
        await asyncio.sleep(30)
        return "late"


#: What went on although its operation had ended.
LATE: list[str] = []


@strawberry.type
class Unfinished:
    @strawberry.field
    async def later(self) -> str | None:
        await asyncio.sleep(0.01)
        LATE.append("went on")
        return None

    @strawberry.field
    def must(self) -> str:
        raise Refused("it fails, and may not be null")

    @strawberry.field
    async def nap(self) -> str | None:
        await asyncio.sleep(0.05)
        return "awake"


#: What mutations did.
SOLD: list[int] = []


@strawberry.type
class Mutation:
    @strawberry.mutation
    def sell(self, id: int) -> Item:
        if id <= 0:
            raise Refused("nothing to sell", "NOT_FOUND")
        SOLD.append(id)
        return Item(id=id, name=f"item {id}")


def translate(error: BaseException) -> Refused | None:
    """Tell a KeyError."""
    return Refused("there is no such shelf", "NOT_FOUND") if isinstance(error, KeyError) else None


def guard(context: Context) -> None:
    """Let those in who bring the key."""
    if context.header("X-Key") != "open sesame":
        raise Refused("bring the key", "UNAUTHENTICATED")


def plugin(*parts: Schema, hook: str = "graphql_schema") -> Any:
    """Return a plugin that gives these parts."""

    @hookimpl
    def rolehost_plugin() -> PluginInfo:
        return PluginInfo(api=PLUGIN_API)

    def given() -> Any:
        return parts

    given.__name__ = hook
    return SimpleNamespace(rolehost_plugin=rolehost_plugin, **{hook: hookimpl(given)})


SHOP = Schema(query=Query, translate=translate)
TILL = Schema(query=Query, mutation=Mutation, translate=translate)
