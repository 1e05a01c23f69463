"""Storage kind ``queue`` by LISTEN and NOTIFY. Wake-ups only: jobs are in the database."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

import psycopg2
from rolehost.api import CapabilityMissing, Listener, Queue

from rolehost_postgres import abilities
from rolehost_postgres.failures import translate_error
from rolehost_postgres.listeners import Listeners
from rolehost_postgres.pool import Pool
from rolehost_postgres.sender import Sender
from rolehost_postgres.server import Server
from rolehost_postgres.settings import PostgresSettings

if TYPE_CHECKING:
    import dramatiq

#: Maximum connections besides the one that listens: one notifies, one answers a health check.
_CONNECTIONS = 2
#: Seconds that a notification, or the test of the connection that listens, waits for the server.
_ANSWER_TIMEOUT = 10.0


class PostgresQueue(Queue):
    """Wakes the processes that use one database, on any number of machines."""

    capabilities: ClassVar[frozenset[str]] = abilities.QUEUE

    def __init__(self, settings: PostgresSettings) -> None:
        self._server = Server(settings, "queue", answer_timeout=_ANSWER_TIMEOUT)
        self._pool = Pool(
            self._server,
            size=_CONNECTIONS,
            timeout=settings.pool_timeout,
            check_idle=settings.check_idle,
        )
        self._sender = Sender(self._pool)
        self._listeners = Listeners(self._server, settings.check_idle)

    def wake(self, names: Collection[str]) -> None:
        """See :meth:`rolehost.api.Queue.wake`; another thread sends."""
        self._sender.send(names)

    def listen(self, names: Collection[str]) -> Listener:
        """See :meth:`rolehost.api.Queue.listen`."""
        return self._listeners.listen(names)

    def broker(self) -> dramatiq.Broker:
        """Refuse: see :meth:`rolehost.api.Queue.broker`."""
        raise CapabilityMissing(
            "the queue of postgres carries no ephemeral messages; use durable actors or"
            " another queue"
        )

    def depth(self, queue_name: str) -> int:  # noqa: ARG002 - the interface's
        """Return 0, because this queue carries no messages."""
        return 0

    def ping(self) -> None:
        """See :meth:`rolehost.api.Queue.ping`."""
        connection = self._pool.take()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error as error:
            raise translate_error(error, self._server.place) from error
        finally:
            self._pool.give(connection)

    def close(self) -> None:
        """See :meth:`rolehost.api.Queue.close`."""
        self._sender.close()
        self._listeners.close()
        self._pool.close()
