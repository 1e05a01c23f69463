"""Names at ``/metrics``: allowed names, and conflicts between plugins."""

from __future__ import annotations

from typing import Any

import pytest
from rolehost.api import PLUGIN_API, Metric, PluginInfo
from rolehost.composition import compose, examine
from rolehost.deployment import read

from tests.host.installed import plugin


def counting(*metrics: Any) -> Any:
    return plugin(PluginInfo(api=PLUGIN_API, metrics=metrics))


def metric(name: str, kind: Any = "counter", **more: Any) -> Metric:
    return Metric(name=name, kind=kind, summary="Made for a test.", **more)


def mistakes(**plugins: Any) -> list[tuple[str, str]]:
    _, problems = examine(read(None, plugins=list(plugins), environ={})[0], extra=plugins)
    return [(problem.code, problem.what) for problem in problems]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (metric("x"), metric("x"), "x"),
        (metric("x"), metric("x", labels=("kind",)), "x"),
        (metric("x"), metric("x_total"), "x"),
        (metric("x"), metric("x", "gauge"), "x"),
        (metric("x"), metric("x_total", "gauge"), "x_total"),
        (metric("x"), metric("x_created", "gauge"), "x_created"),
        (metric("x", "histogram"), metric("x_count", "gauge"), "x_count"),
        (metric("x", "histogram"), metric("x_count"), "x_count"),
        (metric("x", "histogram"), metric("x_sum", "gauge"), "x_sum"),
        (metric("x", "histogram"), metric("x_bucket", "gauge"), "x_bucket"),
        (metric("x", "summary"), metric("x_sum", "gauge"), "x_sum"),
    ],
)
def test_a_name_that_two_plugins_would_show_is_one_error(one: Metric, other: Metric, name: str):
    for first, second in ((one, other), (other, one)):
        assert mistakes(a=counting(first), b=counting(second)) == [
            ("duplicate-metric", f"the name {name} at /metrics is claimed 2 times")
        ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (metric("x"), metric("x_seconds", "histogram")),
        (metric("x", "gauge"), metric("x_total", "gauge")),
        (metric("x"), metric("x_count", "gauge")),
        (metric("x", "summary"), metric("x_bucket", "gauge")),
    ],
)
def test_names_that_are_shown_apart_are_no_error(one: Metric, other: Metric):
    assert mistakes(a=counting(one), b=counting(other)) == []


def test_three_plugins_that_claim_a_name_are_reported_together():
    assert mistakes(**{name: counting(metric("x")) for name in "abc"}) == [
        ("duplicate-metric", "the name x at /metrics is claimed 3 times")
    ]


def test_a_plugin_that_claims_a_name_twice_is_reported_too():
    assert [code for code, _ in mistakes(a=counting(metric("x"), metric("x_total")))] == [
        "duplicate-metric"
    ]


def test_names_of_the_host_are_not_to_be_had():
    assert [code for code, _ in mistakes(a=counting(metric("rolehost_mine")))] == [
        "reserved-metric"
    ]


@pytest.mark.parametrize("given", ["x", ("x",), metric("x"), [object()]])
def test_an_item_that_is_not_a_metric_is_reported(given: Any):
    wrong = plugin(PluginInfo(api=PLUGIN_API, metrics=given))
    assert mistakes(a=wrong) == [("hook-result", "PluginInfo.metrics is not a tuple of Metric")]


def test_a_composition_knows_the_plugin_of_each_metric():
    composition = compose(
        read(None, plugins=["a"], environ={})[0], extra={"a": counting(metric("x"))}
    )
    assert composition.metrics["x"].plugin == "a"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "no-dashes"},
        {"name": ""},
        {"name": "_total"},
        {"kind": "info"},
        {"labels": ("le",), "kind": "histogram"},
        {"labels": ("__internal",)},
        {"labels": ("a", "a")},
        {"buckets": (1.0,)},
        {"buckets": (2.0, 1.0), "kind": "histogram"},
    ],
)
def test_a_metric_that_prometheus_would_refuse_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="metric"):
        Metric(**({"name": "x", "kind": "counter", "summary": ""} | wrong))
