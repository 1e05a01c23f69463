"""``/metrics``."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

import falcon.asgi
from rolehost.api import Services, Statistics
from rolehost.api.http import operation

from rolehost_ops.directory import MetricFiles, metrics_directory
from rolehost_ops.runs import Overdue, Runs
from rolehost_ops.settings import OpsSettings

log = logging.getLogger("rolehost.ops")

#: Timeout in seconds for reading and merging the files, in case the disk is broken.
RENDER_TIMEOUT = 30.0


class Metrics:
    """The metrics of all processes of the deployment on this machine."""

    def __init__(self, settings: OpsSettings) -> None:
        self._settings = settings
        self._runs = Runs()

    @operation(summary="Metrics for Prometheus", responses={200: "text/plain"})
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer in the text format of Prometheus, or OpenMetrics when that is asked for."""
        # Imported here, so that commands do not load prometheus-client, and that it is loaded
        # after PROMETHEUS_MULTIPROC_DIR is set.
        from prometheus_client.exposition import choose_encoder

        from rolehost_ops.exposition import render

        services: Services = req.context.services
        statistics = await self._statistics(services)
        files = MetricFiles(metrics_directory(self._settings, services))
        encode, resp.content_type = choose_encoder(req.get_header("Accept") or "")
        resp.data = await self._runs.run(
            resp.content_type, lambda: render(files, statistics, encode), RENDER_TIMEOUT
        )
        resp.cache_control = ("no-store",)

    async def _statistics(self, services: Services) -> Statistics | None:
        """Return the deployment's statistics, or None if they cannot be read."""
        try:
            return await self._runs.run(
                "statistics", lambda: _ask(services), self._settings.statistics_timeout
            )
        except Overdue as error:
            log.warning("no statistics for this scrape: %s", error)
        except Exception as error:
            log.warning("no statistics for this scrape: %s: %s", type(error).__name__, error)
        return None


def _ask(services: Services) -> Statistics:
    session: AbstractContextManager[None] = nullcontext()
    if "database" in services.backends:
        session = services.database.session()
    with session:
        return services.statistics()
