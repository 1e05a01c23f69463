"""The server and the keys of the settings, without the driver and without a secret."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qs, urlsplit

from rolehost_redis.settings import RedisSettings


def identity(settings: RedisSettings, kind: Literal["cache", "queue"]) -> str:
    """Return ``host:port/database namespace`` of a kind of storage."""
    own = settings.cache_url if kind == "cache" else settings.queue_url
    url = own or settings.url
    parts = urlsplit("redis://127.0.0.1:6379/0" if url is None else url.reveal())
    database = parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0]
    if settings.sentinels:
        place = f"{settings.sentinel_service} by way of {','.join(sorted(settings.sentinels))}"
    elif parts.scheme == "unix":
        place = parts.path
        database = parse_qs(parts.query).get("db", ["0"])[0]
    else:
        place = f"{parts.hostname}:{parts.port or 6379}"
    return f"{place}/{database} {settings.namespace}"
