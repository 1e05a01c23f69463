"""Tests with the testing kit, as a plugin's author writes them under ``mypy --strict``.

They run as well, so that the type-checked plugin is known to work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import pytest
from rolehost.api import Job, UnitOfWork
from rolehost_testing.kit import Client, Drained, Enqueued, Host, Hosts, Response, open_host

pytest.importorskip("falcon")
pytest.importorskip("dramatiq")

from tests.typing import typed_plugin
from tests.typing.typed_plugin import Prices, ShopSettings

SETTINGS = {"shop": {"currency": "CHF"}}


def test_an_order_is_picked(host: Hosts) -> None:
    shop = host([("shop", typed_plugin)], settings=SETTINGS, seed=3)
    assert_type(shop, Host)
    assert_type(shop.client, Client)
    response = shop.client.post("/orders", json={"item": "pear"}, headers={"x-y": "z"})
    assert_type(response, Response)
    assert_type(response.status, int)
    assert_type(response.json, Any)
    assert response.status == 200
    assert_type(shop.assert_enqueued(typed_plugin.pick, item="pear"), Enqueued)
    shop.assert_published("shop.orders", item="pear")
    with shop.unit_of_work() as work:
        assert_type(work, UnitOfWork)
        assert_type(work.enqueue(typed_plugin.pick, item="plum"), Job)
    done = shop.advance(60)
    assert_type(done, Drained)
    assert "shop.pick" in done.names
    if TYPE_CHECKING:
        shop.client.post("/orders", jsn={})  # type: ignore[call-arg]
        open_host([("shop", typed_plugin)], mode="online")  # type: ignore[arg-type]


def test_settings_and_values_of_the_cache_have_their_types(host: Hosts) -> None:
    services = host([("shop", typed_plugin)], settings=SETTINGS).services
    settings = services.settings(ShopSettings)
    assert_type(settings, ShopSettings)
    assert settings == services.settings("shop")
    assert (settings.currency, services.get(Prices).currency) == ("CHF", "CHF")
    typed_plugin.kept(services)


def test_settings_of_a_type_that_no_plugin_has_are_named(host: Hosts) -> None:
    class Other(ShopSettings, frozen=True):
        pass

    services = host([("shop", typed_plugin)], settings=SETTINGS).services
    with pytest.raises(LookupError, match=r"no enabled plugin has settings of type .*Other"):
        services.settings(Other)
