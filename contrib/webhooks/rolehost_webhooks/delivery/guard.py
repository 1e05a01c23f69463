"""Connects to allowed addresses only, to prevent server-side request forgery (SSRF).

A name is resolved, and connections use the addresses that were checked: a second lookup could
return others (DNS rebinding). In addition, the address of each socket is checked before it
connects, so that an IP address in a URL is decided in the same place. TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from rolehost_webhooks.delivery.addresses import is_public, is_within
from rolehost_webhooks.settings import Network

__all__ = ["AddressRefused", "Guard", "Resolver", "is_public"]

#: Maximum number of lookups at the same time. A lookup holds a thread for as long as the name
#: servers are silent, perhaps longer than an attempt.
LOOKUPS = 128


class AddressRefused(OSError):
    """A name has no address to which deliveries are allowed, or an address is not allowed."""


class Guard:
    """Decides to which addresses deliveries may go.

    Args:
        everywhere: whether all addresses are allowed.
        networks: networks that are allowed although they are not public.
    """

    def __init__(self, *, everywhere: bool, networks: Sequence[Network] = ()) -> None:
        self._everywhere = everywhere
        self._networks = tuple(networks)

    def allows(self, address: str) -> bool:
        """Return whether deliveries may go to an address."""
        return self._everywhere or is_public(address) or is_within(address, self._networks)

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """Return a socket for a connection to an address.

        Raises:
            AddressRefused: the address is not allowed.
        """
        family, kind, protocol, _, address = info
        if not self.allows(str(address[0])):
            raise AddressRefused(f"{address[0]} is refused")
        return socket.socket(family, kind, protocol)


class Resolver(AbstractResolver):
    """Returns the allowed addresses of a name, from the resolver of the operating system.

    Each lookup has its own daemon thread. The loop's executor has few threads, so some silent name
    servers would stop all lookups, and the end of the process would wait for them.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._free = asyncio.Semaphore(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a name.

        Raises:
            AddressRefused: the name has addresses, but none is allowed.
            OSError: the name has no address.
        """
        await self._free.acquire()
        found = [str(entry[4][0]) for entry in await self._look_up(host, port, family)]
        allowed = [address for address in found if self._guard.allows(address)]
        if not allowed:
            raise AddressRefused(f"{host} has no public address; private ones are refused")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed
        ]

    def _look_up(self, host: str, port: int, family: int) -> asyncio.Future[list[Any]]:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[list[Any]] = loop.create_future()

        def end(found: list[Any] | OSError) -> None:
            self._free.release()
            if ended.done():
                return  # cancelled
            if isinstance(found, OSError):
                ended.set_exception(found)
            else:
                ended.set_result(found)

        def run() -> None:
            try:
                found: list[Any] | OSError = socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                found = error
            except UnicodeError as error:  # a label that DNS cannot have
                found = socket.gaierror(str(error))
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, found)

        threading.Thread(target=run, name="name lookup", daemon=True).start()
        return ended

    async def close(self) -> None:
        """Do nothing: lookups end by themselves."""
