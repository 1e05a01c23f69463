"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

import falcon
import falcon.asgi
import msgspec
from rolehost.api import Services
from rolehost.api.http import operation

from rolehost_ops.health import Health, Result


class HealthReport(msgspec.Struct, frozen=True):
    """The body of both answers.

    Attributes:
        status: ``ok``, ``degraded`` (ready, without some plugins), ``failed`` or ``draining``.
        checks: results of the checks.
        degraded: names of the plugins that failed and that this process runs without. The field
            is absent if there are none. ``rolehost plugins`` and the log have the reason.
    """

    status: str
    checks: list[Result] = []
    degraded: list[str] | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
RESPONSES = {200: HealthReport, 503: HealthReport}
_OK = _encode(HealthReport("ok"))


class Healthz:
    """Liveness: whether restarting this process would help."""

    def __init__(self, health: Health) -> None:
        self._health = health

    @operation(
        summary="Whether the process is alive", responses={200: HealthReport, 503: HealthReport}
    )
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 200, or 503 if a check with ``live=True`` fails."""
        _no_store(resp)
        questions = self._health.liveness(req.context.services)
        if not questions:
            resp.data = _OK
            return
        _answer(resp, await self._health.ask(questions))

    @operation(hidden=True)
    async def on_head(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer as to GET, without the body: some load balancers send HEAD."""
        await self.on_get(req, resp)


class Readyz:
    """Readiness: whether this process should be sent requests."""

    def __init__(self, health: Health) -> None:
        self._health = health

    @operation(
        summary="Whether the process takes requests",
        responses={200: HealthReport, 503: HealthReport},
    )
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 503 if draining or if a required backend or a ``ready`` check fails; else 200."""
        _no_store(resp)
        services: Services = req.context.services
        # A draining process is not ready in any case, so its checks do not run.
        if services.draining:
            resp.status = falcon.HTTP_503
            resp.data = _encode(HealthReport("draining"))
            return
        results = await self._health.ask(self._health.readiness(services))
        _answer(resp, results, sorted(services.degraded))

    @operation(hidden=True)
    async def on_head(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer as to GET, without the body: some load balancers send HEAD."""
        await self.on_get(req, resp)


def _no_store(resp: falcon.asgi.Response) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.cache_control = ("no-store",)


def _answer(
    resp: falcon.asgi.Response, results: list[Result], degraded: list[str] | None = None
) -> None:
    failed = any(result.decides and not result.ok for result in results)
    if failed:
        resp.status = falcon.HTTP_503
    status = "failed" if failed else "degraded" if degraded else "ok"
    resp.data = _encode(HealthReport(status, results, degraded or msgspec.UNSET))
