"""Connections that reach public addresses only, so that an endpoint's URL opens no inner door.

The name is resolved once and the address that was checked is the one that is connected to; a
second answer of a hostile name server is never asked for. TLS still verifies the name.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: RFC 6052: IPv4 addresses behind a translator.
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Say whether an address belongs to the public internet.

    Loopback, private, link-local (cloud metadata), shared and reserved ranges do not; IPv6
    addresses that carry an IPv4 address count as that one.
    """
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast


class _PublicOnly:
    """Opens the socket of a connection to an address that :func:`is_public` allows."""

    host: str
    port: int
    timeout: Any
    source_address: tuple[str, int] | None
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        """Connect; called by urllib3 in place of its own method of this name.

        Raises:
            NewConnectionError: no address of the name is public, or none answers.
        """
        connection: Any = self
        host = self.host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
        addresses = [str(entry[4][0]) for entry in found]
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise NewConnectionError(
                connection, f"{host} has no public address; private ones are refused"
            )
        return self._connect_any(connection, public)

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


class PublicHTTPConnection(_PublicOnly, HTTPConnection):
    """Plain HTTP to public addresses."""


class PublicHTTPSConnection(_PublicOnly, HTTPSConnection):
    """HTTPS to public addresses."""


class PublicHTTPConnectionPool(HTTPConnectionPool):
    """A pool of such connections."""

    ConnectionCls = PublicHTTPConnection


class PublicHTTPSConnectionPool(HTTPSConnectionPool):
    """A pool of such connections."""

    ConnectionCls = PublicHTTPSConnection


#: What a pool manager uses in place of its own pools.
PUBLIC_POOLS = {"http": PublicHTTPConnectionPool, "https": PublicHTTPSConnectionPool}
