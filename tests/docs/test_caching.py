"""The examples of docs/caching.md work as described."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rolehost.api import PluginInfo, hookimpl
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.errors import ConfigurationError
from rolehost.schema import HOST_SET, up
from rolehost.services.container import ProcessServices

from tests.docs.pages import extract
from tests.proofs.kit import ROOT


def example(folder: Path, name: str) -> ModuleType:
    """Import a file of the page."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    extract(ROOT / "docs/caching.md", tmp_path)
    return tmp_path


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """This module is the plugin of the deployment; it requires the capabilities of the examples."""
    return PluginInfo(api=1, requires=("database", "cache[rate-limit,locks]"))


@pytest.fixture
def services(folder: Path) -> Iterator[Any]:
    file = folder / "shop.toml"
    file.write_text('plugins = ["embedded", "shop"]\n[embedded]\npath = "shop.db"\n', "utf-8")
    made = ProcessServices(
        compose(load(file), extra={"shop": sys.modules[__name__]}), role="command"
    )
    with made.database.session():
        up(made.database, [HOST_SET])
        yield made
    made.close()


def test_a_rate_is_requested_once_and_again_after_its_removal(
    folder: Path, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = example(folder, "rates")
    ask, asked = rates.ask_the_bank, []
    monkeypatch.setattr(rates, "ask_the_bank", lambda currency: asked.append(1) or ask(currency))
    for _ in range(2):
        assert rates.rate(services, "EUR").value == Decimal("1.0834")
        assert rates.rate(services, currency="EUR").day.year == 2026
    assert len(asked) == 1
    rates.correct(services, "EUR")
    rates.rate(services, "EUR")
    assert len(asked) == 2


def test_items_are_kept_until_they_are_sold(folder: Path, services: Any) -> None:
    stock = example(folder, "stock")
    assert stock.show(services, 7) == stock.Item("apple", 12)
    assert stock.items(services).get("item:7") == stock.Item("apple", 12)
    stock.sell(services, 7)
    assert stock.items(services).get("item:7") is None
    assert [stock.count_visit(services) for _ in range(3)] == [1, 2, 3]
    plum = stock.Item("plum", 3)
    assert stock.refill(services, {"second": plum}) == {
        "first": stock.Item("pear", 1),
        "second": plum,
    }


def test_a_namespace_has_one_type_and_one_set_of_options(folder: Path, services: Any) -> None:
    stock = example(folder, "stock")
    assert stock.items(services) is stock.items(services)
    with pytest.raises(ValueError, match=r"shop\.items"):
        services.caching("shop.items", int, ttl=300)


def test_a_backend_without_a_required_capability_is_refused(folder: Path) -> None:
    file = folder / "shop.toml"
    file.write_text('plugins = ["embedded", "guarded"]\n', "utf-8")
    with pytest.raises(ConfigurationError, match="shared"):
        compose(load(file), extra={"guarded": example(folder, "guarded")})


def test_logins_are_limited_and_one_tidies(folder: Path, services: Any) -> None:
    guarded = example(folder, "guarded")
    waits = [guarded.login(services, "10.0.0.1") for _ in range(6)]
    assert waits[:5] == [0.0] * 5
    assert 0 < waits[5] <= 12
    assert guarded.tidy(services)
    lease = services.cache.lock("shop:tidy", 30)
    assert not guarded.tidy(services)
    assert services.cache.release(lease)
