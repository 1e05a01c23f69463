"""The settings section ``[redis]``."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from msgspec import Meta
from rolehost.api import Secret, Settings

Seconds = Annotated[float, Meta(gt=0)]
#: ``host``, ``host:port`` or ``[v6 address]:port`` of a Sentinel.
Sentinel = Annotated[str, Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(:[0-9]{1,5})?$")]


class RedisSettings(Settings, frozen=True):
    """``[redis]``; the same in all deployments that share cache or queue.

    Attributes:
        url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://`` with TLS, or
            ``unix://path?db=0``. TLS options follow ``?``: ``ssl_ca_certs=/path``,
            ``ssl_certfile=``, ``ssl_keyfile=``, ``ssl_cert_reqs=``. The default is
            ``redis://127.0.0.1:6379/0``.
        cache_url: server of the cache; None uses ``url``.
        queue_url: server of the queue; None uses ``url``.
        sentinels: Sentinels that know the server; host and port of the URLs are ignored then.
            Empty, the default, uses none.
        sentinel_service: name of the server in the Sentinels.
        sentinel_password: password of the Sentinels; None if they have none.
        namespace: prefix of keys and channels, so that several fleets can share a server.
        connect_timeout: timeout of connecting, in seconds.
        timeout: timeout of a command, in seconds.
        connections: maximum connections of the cache in each process.
        connection_wait: seconds a call waits for a free connection; then ``StorageBusy``.
        heartbeat: seconds without data after which a listener tests its connection; without an
            answer for as long again, it reconnects.
        message_lease: seconds after which the ephemeral messages of a dead process are delivered
            again.
        message_stall: seconds for which a process keeps its messages if it does not renew its lease
            but its connection is open, for example because a job blocks the interpreter.
        keep_dead_messages: maximum number of rejected ephemeral messages that are kept.
    """

    url: Secret | None = None
    cache_url: Secret | None = None
    queue_url: Secret | None = None
    sentinels: tuple[Sentinel, ...] = ()
    sentinel_service: str = ""
    sentinel_password: Secret | None = None
    namespace: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,40}$")] = "rolehost"
    connect_timeout: Seconds = 2.0
    timeout: Seconds = 5.0
    connections: Annotated[int, Meta(ge=1)] = 16
    connection_wait: Seconds = 2.0
    heartbeat: Seconds = 10.0
    message_lease: Seconds = 10.0
    message_stall: Seconds = 120.0
    keep_dead_messages: Annotated[int, Meta(ge=1)] = 10_000

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong URL, without showing it."""
        for name in ("url", "cache_url", "queue_url"):
            secret: Secret | None = getattr(self, name)
            if secret is not None and not _valid(secret.reveal()):
                raise ValueError(
                    f"{name} is not a URL of Redis: expected redis://[:password@]host[:port][/db],"
                    " rediss://… or unix://path (percent-encode special characters of a password)"
                )
        if bool(self.sentinels) != bool(self.sentinel_service):
            raise ValueError("sentinels and sentinel_service belong together")


def _valid(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        return False
    if not query.get("db", "0").isdigit():
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    database = parts.path.strip("/")
    return (
        parts.scheme in ("redis", "rediss")
        and bool(parts.hostname)
        and port != 0
        and (not database or database.isdigit())
    )
