"""The memcached servers of one process: connections, and the choice of a server for a key."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import (
    MemcacheError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)
from rolehost.api import StorageBusy, StorageError, StorageRefused, StorageUnavailable

from rolehost_memcached.clients import EntryClient, make_client
from rolehost_memcached.failures import BACKEND, SETTING, not_memcached, reason, unreachable
from rolehost_memcached.settings import MemcachedSettings

T = TypeVar("T")

#: Errors of a broken connection.
_CONNECTION_ERRORS = (OSError, MemcacheUnexpectedCloseError, MemcacheUnknownError)


class Server:
    """One memcached server, with its connections. Thread-safe.

    pymemcache's pool raises if it is full, and costs as much as the command. :meth:`run` waits
    for its turn and takes an idle client.
    """

    def __init__(self, name: str, settings: MemcachedSettings) -> None:
        self.name = name
        #: time.monotonic() until which this server is not used if another one answers.
        self.dead_until = 0.0
        self._settings = settings
        # PERF: a SimpleQueue costs a tenth of a semaphore, which is written in Python.
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(settings.connections):
            self._slots.put(None)
        self._wait = settings.connection_wait
        self._address = _address(name)
        self._idle: deque[EntryClient] = deque()

    def run(self, command: Callable[[EntryClient], T], *, retry: bool) -> T:
        """Run one command.

        Args:
            command: called with the client.
            retry: the command may run twice. So if an idle connection broke, it is replaced and
                the command is repeated.

        Raises:
            StorageUnavailable: no answer; the server is not used for a while.
            StorageBusy: no connection became free in time.
            StorageError: memcached refuses the command.
        """
        # PERF: there is no context manager, because every get() runs this.
        try:
            self._slots.get(True, self._wait)
        except Empty:
            raise StorageBusy(
                f"memcached {self.name}: all {self._settings.connections} connections are in use"
                f" ([memcached] connections) for {self._settings.connection_wait:g} s"
            ) from None
        try:
            return self._try(command, retry)
        finally:
            self._slots.put(None)

    def _try(self, command: Callable[[EntryClient], T], retry: bool) -> T:
        try:
            client, used = self._idle.pop(), True
        except IndexError:
            client = make_client(
                self._address,
                connect_timeout=self._settings.connect_timeout,
                timeout=self._settings.timeout,
            )
            used = False
        try:
            answer = command(client)
        except _CONNECTION_ERRORS as error:
            # After a restart of the server all connections are broken, and each would fail once.
            client.close()
            self.close()
            if used and retry and not isinstance(error, TimeoutError):
                return self._try(command, False)
            self.dead_until = time.monotonic() + self._settings.retry_after
            raise unreachable(error, self.name) from error
        except MemcacheServerError as error:
            client.close()
            if "too large" in str(error):
                raise StorageError(
                    f"memcached {self.name} refuses a value of this size: lower [memcached]"
                    f" max_value ({self._settings.max_value} bytes), or raise the server's -I"
                ) from error
            raise StorageUnavailable(
                f"memcached {self.name}: {reason(error)}", backend=BACKEND, setting=SETTING
            ) from error
        except BaseException as error:
            client.close()  # an answer may still arrive
            if isinstance(error, MemcacheError):
                raise StorageError(f"memcached {self.name}: {reason(error)}") from error
            raise
        self._idle.append(client)
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        while True:
            try:
                client = self._idle.pop()
            except IndexError:  # not tested before, because other threads take clients too
                return
            client.close()


class Servers:
    """All servers; each key has one, chosen by rendezvous hashing. Thread-safe."""

    def __init__(self, settings: MemcachedSettings) -> None:
        self._servers = {name: Server(name, settings) for name in settings.servers}
        self._only = self._servers[settings.servers[0]] if len(settings.servers) == 1 else None

    def server_of(self, key: str) -> Server:
        """Return the server of a key; servers that have failed lately are left out."""
        if self._only is not None:
            return self._only
        node = RendezvousHash([each.name for each in self.alive()]).get_node(key)
        return self._servers[node]

    def alive(self) -> list[Server]:
        """Return the servers that have not failed lately; if all have failed, return all."""
        now = time.monotonic()
        working = [each for each in self._servers.values() if each.dead_until <= now]
        return working or list(self._servers.values())

    def group_by_server(self, keys: Iterable[str]) -> dict[Server, list[str]]:
        """Return the keys of each server."""
        shares: dict[Server, list[str]] = {}
        for key in keys:
            shares.setdefault(self.server_of(key), []).append(key)
        return shares

    def version(self) -> str:
        """Return the version of one server that answers.

        Raises:
            StorageUnavailable: no server answers.
            StorageRefused: another program than memcached answers.
        """
        failures = []
        for server in self._servers.values():
            try:
                answer = server.run(lambda client: client.version(), retry=True)
            except StorageUnavailable as error:
                failures.append(not_memcached(error, server.name) or error)
            else:
                return answer.decode() if isinstance(answer, bytes) else str(answer)
        refused = all(isinstance(each, StorageRefused) for each in failures)
        kind = StorageRefused if refused else StorageUnavailable
        raise kind("; ".join(map(str, failures)), backend=BACKEND, setting=SETTING) from failures[
            0
        ].__cause__

    def close(self) -> None:
        """Close every connection. Idempotent."""
        for server in self._servers.values():
            server.close()


def _address(name: str) -> Any:
    """Return ``(host, port)``, or the path of a socket, for pymemcache."""
    if name.startswith("/"):
        return name
    host, colon, port = name.rpartition(":")
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1], 11211
    if not colon:
        return name, 11211
    return host.strip("[]"), int(port)
