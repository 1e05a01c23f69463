"""Bare Falcon for gunicorn; ``BENCH_USUAL`` adds the usual middleware of services."""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import Any

import falcon
import falcon.asgi
import msgspec
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars

from benchmarks import sample

#: Maximum body size in bytes; the host's default.
MAX_BODY = 2_097_152


class Usual:
    """The usual middleware: request id, Content-Length check, one JSON log line, two metrics."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        labels = ["method", "route", "status"]
        self._total = Counter("http_requests", "Requests.", labels)
        self._seconds = Histogram("http_request_duration_seconds", "Duration.", labels)
        structlog.configure(
            processors=[
                merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=msgspec_dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
        self._log = structlog.get_logger()

    async def process_request(self, req: Any, _resp: Any) -> None:
        context = req.context
        context.began = time.perf_counter()
        context.request_id = req.get_header("X-Request-Id") or uuid.uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=context.request_id)
        length = req.content_length
        if length is not None and length > MAX_BODY:
            raise falcon.HTTPContentTooLarge

    async def process_response(self, req: Any, resp: Any, _resource: Any, _succeeded: bool) -> None:
        seconds = time.perf_counter() - req.context.began
        route = req.uri_template or ""
        status = resp.status_code
        resp.set_header("X-Request-Id", req.context.request_id)
        labels = (req.method, route, f"{status // 100}xx")
        self._total.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
        self._log.info(
            "request",
            method=req.method,
            path=req.path,
            route=route,
            status=status,
            seconds=round(seconds, 6),
            client=req.remote_addr,
        )


def msgspec_dumps(fields: Any, **_options: Any) -> bytes:
    """Encode a log line."""
    return msgspec.json.encode(fields)


def _make(middleware: list[Any]) -> Any:
    app: Any = falcon.asgi.App(middleware=middleware)
    sample.use_msgspec(app)
    app.add_route(sample.PATH, sample.Orders())
    return app


app = _make([Usual()] if os.environ.get("BENCH_USUAL") else [])
