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
    """``[redis]``; the same in every deployment that shares cache or queue.

    Attributes:
        url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://`` with TLS, or
            ``unix://path?db=0``. TLS options stand behind ``?``: ``ssl_ca_certs=/path``,
            ``ssl_certfile=``, ``ssl_keyfile=``, ``ssl_cert_reqs=``. None is
            ``redis://127.0.0.1:6379/0``.
        cache_url: server of the cache; None takes ``url``.
        queue_url: server of the queue; None takes ``url``.
        sentinels: Sentinels to ask where the server is; host and port of the URLs do not
            count then. Empty: no Sentinel.
        sentinel_service: name under which the Sentinels know the server.
        sentinel_password: password of the Sentinels themselves; None: they have none.
        namespace: keys and channels begin with it, so that several can share a server.
        connect_timeout: seconds in which a connection must stand.
        timeout: seconds a command may wait for its answer.
        connections: most connections of the cache, of each process.
        connection_wait: seconds a call waits for a free connection; then ``StorageBusy``.
        heartbeat: seconds of silence after which a listener makes sure that the server is
            still there; twice as long and it connects anew.
        message_lease: seconds after which a process that died has lost the ephemeral messages it
            took; they are handed out again.
        message_stall: seconds for which a process that does not renew, but whose connection
            stands, keeps them: a job holds the interpreter, or the process is frozen.
        keep_dead_messages: most rejected ephemeral messages that are kept.
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
        """Refuse what is no URL of Redis; never shows one."""
        for name in ("url", "cache_url", "queue_url"):
            secret: Secret | None = getattr(self, name)
            if secret is not None and not _valid(secret.reveal()):
                raise ValueError(
                    f"{name} is no URL of Redis: expected redis://[:password@]host[:port][/db],"
                    " rediss://… or unix://path (percent-encode what is special in a password)"
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
