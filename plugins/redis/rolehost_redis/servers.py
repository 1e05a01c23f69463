"""The address of Redis, and clients that repeat no command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool
from rolehost.api import Secret, ServerInfo

from rolehost_redis.settings import RedisSettings

#: The default URL.
_DEFAULT_URL = "redis://127.0.0.1:6379/0"


class _BlockingSentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    """Asks Sentinels for the server; waits for a free connection instead of raising."""


@dataclass(frozen=True)
class Server:
    """One server, and the setting that names it.

    Attributes:
        setting: the key of the settings section.
        url: its value.
        settings: the plugin's settings.
    """

    setting: str
    url: Secret
    settings: RedisSettings
    #: The parts of the URL, with the password.
    options: dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", parse_url(self.url.reveal()))

    def __str__(self) -> str:
        if self.settings.sentinels:
            names = ", ".join(self.settings.sentinels)
            service = self.settings.sentinel_service
            return f"redis {service!r} by way of {names} ([redis] sentinels)"
        where = self.options.get("path") or "{}:{}".format(
            self.options.get("host", "localhost"), self.options.get("port", 6379)
        )
        return f"redis {where} ([redis] {self.setting})"

    @property
    def section_key(self) -> str:
        """The setting that names the server, as in the deployment file."""
        return "[redis] sentinels" if self.settings.sentinels else f"[redis] {self.setting}"

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None with Sentinels, and for the path of a socket."""
        if self.settings.sentinels or self.options.get("path"):
            return None
        return self.options.get("host", "localhost"), int(self.options.get("port", 6379))

    @property
    def secure(self) -> bool:
        """Whether connections are made with TLS."""
        return self.options.get("connection_class") is redis.SSLConnection

    @property
    def client_certificate(self) -> tuple[str | None, str | None, str | None]:
        """Certificate of the client, its key, and the password of the key."""
        option = self.options.get
        return option("ssl_certfile"), option("ssl_keyfile"), option("ssl_password")

    def redact(self, text: str) -> str:
        """Return the text without passwords."""
        sentinel = self.settings.sentinel_password
        key = self.options.get("ssl_password")
        for secret in (self.options.get("password"), key, sentinel and sentinel.reveal()):
            if secret:
                text = text.replace(secret, "********")
        return text

    def client(self, *, blocking: bool = False) -> redis.Redis:
        """Make a client; does not connect yet.

        By default the driver repeats commands ten times, so they may count or be sent twice.
        This client repeats nothing.

        Args:
            blocking: for reads without a time-out, on a separate connection.
        """
        settings = self.settings
        options = {
            **self.options,
            "socket_timeout": None if blocking else settings.timeout,
            "socket_connect_timeout": settings.connect_timeout,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "retry_on_error": [],
            "health_check_interval": 0,
            "protocol": 2,
            "decode_responses": False,
            "max_connections": 1 if blocking else settings.connections,
            "timeout": settings.connection_wait,
        }
        if settings.sentinels:
            return redis.Redis(connection_pool=self._sentinel_pool(options))
        return redis.Redis(connection_pool=redis.BlockingConnectionPool(**options))

    def _sentinel_pool(self, options: dict[str, Any]) -> redis.ConnectionPool:
        secret = self.settings.sentinel_password
        options.pop("connection_class", None)  # the pool has its own
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        sentinels = Sentinel(
            [_host_and_port(each) for each in self.settings.sentinels],
            sentinel_kwargs={
                "socket_timeout": self.settings.timeout,
                "socket_connect_timeout": self.settings.connect_timeout,
                "retry": Retry(NoBackoff(), 0),
                "password": secret and secret.reveal(),
                "ssl": self.secure,
                **tls,
            },
        )
        for name in ("host", "port", "path"):
            options.pop(name, None)
        return _BlockingSentinelPool(
            self.settings.sentinel_service,
            sentinels,
            ssl=self.secure,
            check_connection=True,
            **options,
        )


def server_of(settings: RedisSettings, kind: Literal["cache", "queue"]) -> Server:
    """Return the server of a kind of storage."""
    own = settings.cache_url if kind == "cache" else settings.queue_url
    if own is not None:
        return Server(f"{kind}_url", own, settings)
    return Server("url", settings.url or Secret(_DEFAULT_URL), settings)


def _host_and_port(text: str) -> tuple[str, int]:
    if text.endswith("]"):
        return text[1:-1], 26379
    host, colon, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if colon else (text, 26379)


def about(info: Any, time: Any) -> ServerInfo:
    """Return version and clock of a server.

    Args:
        info: the answer to ``INFO server``, raw or parsed by redis-py.
        time: the answer to ``TIME``: seconds and microseconds.
    """
    if not isinstance(info, dict):
        text = info.decode() if isinstance(info, bytes) else str(info)
        info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    product = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "")
    seconds, micros = (int(part) for part in time)
    return ServerInfo(f"{product} {version}".strip(), seconds * 1000 + micros // 1000)
