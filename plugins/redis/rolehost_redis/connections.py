"""Connections of the cache. Only commands that may run twice are repeated.

redis-py's client uses a pool that measures, locks and dispatches events on every call, which
costs more than the command itself. This module uses redis-py's connections directly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import redis
from rolehost.api import StorageBusy, StorageError

from rolehost_redis.errors import translate
from rolehost_redis.servers import Server

T = TypeVar("T")
Command = Sequence[Any]


class Script:
    """A Lua script that the server knows by its digest.

    Args:
        source: its text.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        # The digest is the name of the script on the server, not a secret.
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Connections:
    """The connections to one server, up to a limit; a call waits for a free one. Thread-safe.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self._server = server
        self._most, self._wait = settings.connections, settings.connection_wait
        # PERF: a SimpleQueue costs a tenth of a semaphore, which is written in Python.
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(settings.connections):
            self._slots.put(None)
        # Makes connections, also through Sentinels; the rest of the pool is not used.
        self._pool = server.client().connection_pool
        self._idle: deque[Any] = deque()

    def run(self, *command: Any, retry: bool = False) -> Any:
        """Run a command and return its answer.

        Args:
            command: name and arguments.
            retry: whether the command may run twice. If so, it is repeated once if an idle
                connection was broken, as all are after a restart of the server.

        Raises:
            StorageBusy: no connection became free in time.
            StorageUnavailable: the server cannot be reached, did not answer in time, or refuses
                temporarily.
            StorageError: the server refuses this command.
        """

        def exchange(connection: Any) -> Any:
            connection.send_command(*command)
            return connection.read_response()

        return self._with_connection(exchange, retry)

    def run_all(self, commands: Iterable[Command], *, retry: bool = False) -> list[Any]:
        """Run several commands in one round trip; return their answers, which may be errors.

        Raises:
            StorageBusy, StorageUnavailable: as :meth:`run`.
        """
        listed = list(commands)

        def exchange(connection: Any) -> list[Any]:
            connection.send_packed_command(connection.pack_commands(listed))
            return [_read_answer(connection) for _ in listed]

        return self._with_connection(exchange, retry)

    def run_script(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script; load it if the server does not know it."""
        words = (len(keys), *keys, *arguments)
        try:
            return self.run("EVALSHA", script.digest, *words)
        except redis.exceptions.NoScriptError:
            return self.run("EVAL", script.source, *words)

    def refusal(self, error: redis.RedisError) -> StorageError:
        """Return the host's error for an answer that is an error."""
        return translate(self._server, error)

    def close(self) -> None:
        """Close the idle connections. Idempotent."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:  # not tested before, because other threads take connections too
                return
            connection.disconnect()

    def _with_connection(self, exchange: Callable[[Any], T], retry: bool) -> T:
        # PERF: there is no context manager, because every get() runs this.
        try:
            self._slots.get(True, self._wait)
        except Empty:
            raise StorageBusy(
                f"{self._server}: all {self._most} connections are in use ([redis] connections)"
                f" for {self._wait:g} s"
            ) from None
        try:
            return self._exchange(exchange, retry)
        finally:
            self._slots.put(None)

    def _exchange(self, exchange: Callable[[Any], T], retry: bool) -> T:
        try:
            connection = self._idle.pop()
            used = True
        except IndexError:
            connection, used = self._pool.make_connection(), False
        try:
            if used and not retry:
                self._check_idle(connection)
            if connection._sock is None:
                connection.connect()  # sending would connect too, but without the Sentinels
            answer = exchange(connection)
        except redis.ResponseError as error:
            self._idle.append(connection)  # if it is not connected, the next command connects it
            if isinstance(error, redis.exceptions.NoScriptError):
                raise
            raise translate(self._server, error) from None
        except redis.RedisError as error:
            connection.disconnect()
            self.close()
            if used and retry and not isinstance(error, redis.TimeoutError):
                return self._exchange(exchange, False)
            raise translate(self._server, error) from None
        except BaseException:
            connection.disconnect()  # an answer may still arrive
            raise
        self._idle.append(connection)
        return answer

    def _check_idle(self, connection: Any) -> None:
        """Connect again if the server closed the connection while it was idle."""
        try:
            stale = connection.can_read()
        except redis.RedisError:
            stale = True
        if stale:
            connection.disconnect()


def _read_answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
