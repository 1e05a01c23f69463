"""The hooks of the plugin ``ops``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rolehost.api import (
    PLUGIN_API,
    ROLES,
    DeclareContext,
    PluginInfo,
    ProcessContext,
    Route,
    hookimpl,
)

from rolehost_ops.settings import OpsSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe ``ops``; it requires no storage, and reports about the storage that exists."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Health, readiness and Prometheus metrics",
        settings=OpsSettings,
    )


@hookimpl
def rolehost_routes(context: DeclareContext) -> Sequence[Route]:
    """Return the routes of the two probes and of the metrics."""
    from rolehost_ops.health import Health
    from rolehost_ops.metrics import Metrics
    from rolehost_ops.probes import Healthz, Readyz

    settings: OpsSettings = context.settings
    health = Health(details=settings.details, ping_timeout=settings.ping_timeout)
    probes = "probes send no token"
    metrics = "[ops] open_metrics = true" if settings.open_metrics else ""
    return (
        Route(f"{settings.prefix}/healthz", Healthz(health), waiting=True, open=probes),
        Route(f"{settings.prefix}/readyz", Readyz(health), waiting=True, open=probes),
        Route(f"{settings.prefix}/metrics", Metrics(settings), open=metrics),
    )


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Start recording metrics of this process, unless it runs a command."""
    if context.role not in ROLES:
        return
    from rolehost_ops.directory import MetricFiles, metrics_directory

    files = MetricFiles(metrics_directory(context.settings, context.services))
    # prometheus-client reads this variable when the recorder imports it. Metrics that plugins
    # create with prometheus-client then go to the same directory.
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(files.path))
    from rolehost_ops.recorder import MetricsRecorder

    with files.settled():  # merges old files even if /metrics is never scraped
        pass
    context.services.register(
        MetricsRecorder, lambda _: MetricsRecorder(files.path), close=MetricsRecorder.close
    )
    context.record(context.services.get(MetricsRecorder))
