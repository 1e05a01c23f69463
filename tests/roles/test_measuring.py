"""Metrics of plugins: which recorders get them, and which values are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rolehost.api import PLUGIN_API, Metric, PluginInfo, UndeclaredError
from rolehost.composition import compose
from rolehost.deployment import read
from rolehost.services import ProcessServices
from rolehost_testing.kit.metrics import Metrics

from tests.host.installed import plugin

ORDERS = Metric(name="shop_orders", kind="counter", summary="Orders.", labels=("kind",))
STOCK = Metric(name="shop_stock", kind="gauge", summary="What is there.")
SHOP = plugin(PluginInfo(api=PLUGIN_API, metrics=(ORDERS, STOCK)))
OTHER = Metric(name="shop_returns", kind="counter", summary="Returns.")


@pytest.fixture(params=["development", "production"])
def services(request: pytest.FixtureRequest) -> Iterator[ProcessServices]:
    environ = {"ROLEHOST__DEPLOYMENT__ENVIRONMENT": request.param}
    deployment, _ = read(None, plugins=["shop"], environ=environ)
    services = ProcessServices(compose(deployment, extra={"shop": SHOP}), role="http")
    yield services
    services.close()


@pytest.fixture
def metrics(services: ProcessServices) -> Metrics:
    metrics = Metrics()
    services.recorders.add(metrics)
    return metrics


def test_measured_values_reach_the_recorders(services: ProcessServices, metrics: Metrics):
    services.measure(ORDERS, 1.0, "book")
    services.measure(Metric(**{name: getattr(ORDERS, name) for name in ORDERS.__slots__}), 2, "pen")
    assert metrics.own == {("shop_orders", "book"): [1.0], ("shop_orders", "pen"): [2]}


def test_a_recorder_of_the_host_alone_is_left_in_peace(services: ProcessServices, caplog: Any):
    services.recorders.add(object())  # type: ignore[arg-type]
    services.measure(ORDERS, 1.0, "book")
    assert caplog.text == ""


@pytest.mark.parametrize("services", ["development"], indirect=True)
@pytest.mark.parametrize(
    "metric", [OTHER, Metric(name="shop_orders", kind="counter", summary="Orders.")]
)
def test_what_no_plugin_declares_is_refused(services: ProcessServices, metric: Metric):
    with pytest.raises(UndeclaredError, match=r"PluginInfo\.metrics"):
        services.measure(metric)


@pytest.mark.parametrize("services", ["production"], indirect=True)
def test_in_production_it_is_counted_and_not_recorded(
    services: ProcessServices, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    reported: list[tuple[str, str]] = []
    monkeypatch.setattr(metrics, "undeclared", lambda kind, name: reported.append((kind, name)))
    services.measure(OTHER)
    assert reported == [("metric", "shop_returns")]
    assert metrics.own == {}


def test_the_values_of_labels_are_as_many_as_the_labels(services: ProcessServices):
    with pytest.raises(ValueError, match=r"\(kind\), but got 2 values"):
        services.measure(ORDERS, 1.0, "book", "pen")


def test_a_gauge_is_not_for_the_host_to_measure(services: ProcessServices):
    with pytest.raises(TypeError, match="gauge shop_stock"):
        services.measure(STOCK, 3.0)
