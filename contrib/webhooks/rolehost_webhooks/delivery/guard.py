"""Connects to allowed addresses only, to prevent server-side request forgery (SSRF).

A name is resolved once, and the connection uses the address that was checked. A second lookup
could return another address (DNS rebinding). TLS still verifies the name.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from rolehost_webhooks.delivery.addresses import is_public, is_within
from rolehost_webhooks.settings import Network

__all__ = ["AddressRefused", "guarded_pools", "is_public"]


class AddressRefused(NewConnectionError):
    """A name has no address to which deliveries are allowed."""


class _Guarded:
    """Opens the socket of a connection to an allowed address.

    Attributes:
        allowed: networks that are allowed although they are not public.
    """

    allowed: Sequence[Network] = ()

    host: str
    _dns_host: str
    port: int
    timeout: Any
    source_address: tuple[str, int] | None
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        """Connect; overrides urllib3's method of this name.

        Raises:
            AddressRefused: if no address of the name is allowed.
            NewConnectionError: if no address answers.
        """
        connection: Any = self
        # Not ``host``: that lacks the trailing dot, which disables search domains.
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
        addresses = [str(entry[4][0]) for entry in found]
        allowed = [each for each in addresses if is_public(each) or is_within(each, self.allowed)]
        if not allowed:
            raise AddressRefused(
                connection, f"{host} has no public address; private ones are refused"
            )
        return self._connect_any(connection, allowed)

    def _connect_any(self, connection: Any, addresses: list[str]) -> socket.socket:
        failure: OSError | None = None
        for address in addresses:
            try:
                return create_connection(
                    (address, self.port),
                    self.timeout,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except TimeoutError as error:
                raise ConnectTimeoutError(connection, f"{address} did not answer") from error
            except OSError as error:
                failure = error
        raise NewConnectionError(connection, f"cannot connect: {failure}") from failure


def guarded_pools(allowed: Sequence[Network] = ()) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pool classes for a pool manager, by URL scheme.

    Args:
        allowed: networks that are allowed although they are not public.
    """

    class GuardedHTTP(_Guarded, HTTPConnection):
        pass

    class GuardedHTTPS(_Guarded, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = GuardedHTTP

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = GuardedHTTPS

    GuardedHTTP.allowed = GuardedHTTPS.allowed = tuple(allowed)
    return {"http": Pool, "https": SecurePool}
