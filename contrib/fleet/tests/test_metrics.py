"""Metrics of a fleet: what is the same everywhere is no alarm, and neither is what stands apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rolehost.api import Metric
from rolehost_fleet.checking import check
from rolehost_fleet.loading import load

from tests.proofs.fleet_check_case import ENVIRON, Case
from tests.proofs.fleet_check_plugins import counter, plugin

pytestmark = [
    pytest.mark.needs("rolehost_webhooks"),
    pytest.mark.needs("rolehost_postgres"),
    pytest.mark.needs("rolehost_kafka"),
]


def warned(folder: Path, **plugins: Any) -> list[str]:
    """Return the codes of what is said when api has ``shop`` and worker has ``mail``."""
    case = Case(
        name="",
        code="",
        whose=(),
        fix="",
        plugins={"api": ["shop"], "worker": ["mail"], "events": ["mail"]},
        extra=lambda: plugins,
    )
    findings = check(load(case.write(folder), environ=ENVIRON, extra=case.extra()))
    return [each.code for each in findings.warnings]


def test_a_metric_that_is_declared_alike_is_no_alarm(tmp_path: Path) -> None:
    shop, mail = (plugin(metrics=(counter("orders", "kind"),)) for _ in range(2))
    assert warned(tmp_path, shop=shop, mail=mail) == []


def test_samples_that_stand_apart_are_no_alarm(tmp_path: Path) -> None:
    shop = plugin(metrics=(counter("orders"),))
    mail = plugin(metrics=(Metric(name="orders_open", kind="gauge", summary=""),))
    assert warned(tmp_path, shop=shop, mail=mail) == []


def test_other_buckets_are_told_once_for_all_deployments(tmp_path: Path) -> None:
    shop, mail = (
        plugin(metrics=(Metric(name="size", kind="histogram", summary="", buckets=bounds),))
        for bounds in ((1.0, 2.0), (1.0, 5.0))
    )
    assert warned(tmp_path, shop=shop, mail=mail) == ["metric-differs"]
