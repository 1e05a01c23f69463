"""Metrics of the plugin ``webhooks-delivery``."""

from __future__ import annotations

from rolehost.api import Metric

BREAKER = Metric(
    name="webhooks_breaker",
    kind="counter",
    summary="Endpoints that began to fail, recovered, or were disabled.",
    labels=("change",),
)
