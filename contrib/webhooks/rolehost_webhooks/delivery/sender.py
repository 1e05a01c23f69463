"""The HTTP client of all deliveries: one pool per receiver, no redirects, TLS verified."""

from __future__ import annotations

import time
from collections.abc import Mapping

import urllib3

from rolehost_webhooks import __version__
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.failure import explain
from rolehost_webhooks.delivery.guard import guarded_pools
from rolehost_webhooks.rules import with_ascii_host
from rolehost_webhooks.settings import DeliverySettings

USER_AGENT = f"rolehost-webhooks/{__version__}"

#: Number of connection pools, one per receiver; the least recently used is dropped.
RECEIVERS = 200

CHUNK = 4096


class Sender:
    """Sends requests. One instance per process; thread-safe."""

    def __init__(self, settings: DeliverySettings) -> None:
        self._timeout = settings.timeout
        self._limit = settings.response_limit
        self._pools = urllib3.PoolManager(
            num_pools=RECEIVERS,
            maxsize=settings.connections,
            timeout=urllib3.Timeout(connect=settings.timeout, read=settings.timeout),
            retries=False,
        )
        if not settings.allow_private:
            self._pools.pool_classes_by_scheme = guarded_pools(settings.networks)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and read the beginning of its response; network errors do not raise.

        A redirect is not followed, as Standard Webhooks requires.
        """
        started = time.monotonic()
        try:
            response = self._pools.request(
                "POST",
                with_ascii_host(url),
                body=body,
                headers={"user-agent": USER_AGENT, **headers},
                redirect=False,
                preload_content=False,
            )
            try:
                text = self._read(response, started + self._timeout)
            except BaseException:
                response.close()
                raise
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = explain(error, url, self._timeout)
            return Answer(0, failure.text, _since(started), cause=failure.cause)
        return Answer(response.status, text, _since(started), response.headers.get("retry-after"))

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> str:
        """Read up to the limit or the deadline; reuse the connection only after a full read."""
        kept = bytearray()
        while len(kept) <= self._limit and time.monotonic() < deadline:
            chunk = response.read(CHUNK, decode_content=False)
            if not chunk:
                response.release_conn()
                break
            kept += chunk
        else:
            response.close()
        # PostgreSQL does not accept NUL in text.
        return bytes(kept[: self._limit]).decode("utf-8", "replace").replace("\0", "\ufffd")

    def close(self) -> None:
        """Close the idle connections. Idempotent."""
        self._pools.clear()


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
