"""Tests of a plugin with the testing kit, as its author writes them under ``mypy --strict``."""

from __future__ import annotations

from typing import Any, assert_type

from rolehost.api import Job, UnitOfWork
from rolehost.testing.kit import Client, Drained, Enqueued, Host, Hosts, Published, Response
from rolehost.testing.kit import open_host as opened

from tests.typing import typed_plugin


def test_an_order_is_picked(host: Hosts) -> None:
    shop = host([("shop", typed_plugin)], settings={"shop": {"currency": "CHF"}}, seed=3)
    assert_type(shop, Host)
    assert_type(shop.client, Client)
    response = shop.client.post("/orders", json={"item": "pear"}, headers={"x": "y"})
    assert_type(response, Response)
    assert_type(response.status, int)
    assert_type(response.json, Any)
    assert_type(shop.assert_enqueued(typed_plugin.pick, item="pear"), Enqueued)
    assert_type(shop.assert_published("shop.orders", item="pear"), Published)
    assert_type(shop.drain(), Drained)
    assert_type(shop.advance(60), Drained)
    with shop.unit_of_work() as work:
        assert_type(work, UnitOfWork)
        assert_type(work.enqueue(typed_plugin.pick, item="pear"), Job)
    typed_plugin.kept(shop.services)
    shop.client.post("/orders", jsn={})  # type: ignore[call-arg]


def test_without_pytest() -> None:
    with opened([("shop", typed_plugin)], mode="inline") as shop:
        assert_type(shop, Host)
    with opened([("shop", typed_plugin)], mode="online"):  # type: ignore[arg-type]
        pass
