"""The settings section ``[memcached]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings

Seconds = Annotated[float, Meta(gt=0)]
#: ``host``, ``host:port``, ``[v6 address]:port`` or ``/path/of/a/socket``.
Server = Annotated[str, Meta(pattern=r"^(/.+|(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(:[0-9]{1,5})?)$")]


class MemcachedSettings(Settings, frozen=True):
    """``[memcached]``; the same in all deployments that share the cache.

    Attributes:
        servers: addresses of memcached; the default port is 11211. The server of a key depends
            on these texts, not on their order.
        namespace: prefix of keys, so that several caches can share a server.
        connect_timeout: timeout of connecting, in seconds.
        timeout: timeout of a command, in seconds.
        connections: maximum connections to each server in each process.
        connection_wait: seconds a call waits for a free connection; then ``StorageBusy``.
        max_value: maximum bytes of a value; at most the server's ``-I`` minus about 400.
        retry_after: seconds for which a server that failed is not used if another one answers.
        clear_within: seconds within which other processes notice a ``clear()``; each process
            looks for one at this interval.
    """

    servers: Annotated[tuple[Server, ...], Meta(min_length=1)] = ("127.0.0.1:11211",)
    namespace: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,40}$")] = "rolehost"
    connect_timeout: Seconds = 1.0
    timeout: Seconds = 2.0
    connections: Annotated[int, Meta(ge=1)] = 16
    connection_wait: Seconds = 2.0
    max_value: Annotated[int, Meta(ge=1)] = 1_048_000
    retry_after: Seconds = 10.0
    clear_within: Annotated[float, Meta(ge=0)] = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError if two servers are the same."""
        if len(set(self.servers)) < len(self.servers):
            raise ValueError("servers has a duplicate")
        for server in self.servers:
            port = server.rpartition(":")[2]
            if not server.startswith("/") and port.isdigit() and not 0 < int(port) < 65536:
                raise ValueError(f"servers: {port} is not a port")
