"""Recognises a pooler that gives each transaction another session, before it can do harm.

Wake-ups (``LISTEN``), time limits (``SET``) and the lock of migrations belong to a session of the
server. PgBouncer keeps the session of a client in its mode ``session``. In its modes
``transaction`` and ``statement`` a client has a session only while its transaction runs, so these
three would be lost, or apply to other clients.
"""

from __future__ import annotations

import select
import time
import uuid
from collections.abc import Callable

from rolehost_postgres.failures import sessions_mixed
from rolehost_postgres.wire import Connection

#: Seconds in which a notification must arrive; it takes milliseconds.
_NOTIFIED = 5.0
#: Seconds that a statement of the test waits for an answer: a pooler may have no session free.
_ANSWERED = 10.0


def require_session(first: Connection, open_second: Callable[[], Connection], place: str) -> None:
    """Check that a connection keeps its session; changes no setting of the session.

    A server reports the session's process id at login. A pooler reports a random number instead,
    because clients use the number to cancel statements. Only if the reported id is not the
    session's, a second connection is opened: it notifies the first, which listens and sends
    nothing meanwhile. The first receives the notification only if it still has the same session.

    Args:
        first: the connection to check.
        open_second: opens a connection to the same place, for the test only.
        place: backend, host and database, for the message.

    Raises:
        StorageRefused: a pooler in between does not keep the session.
        psycopg2.Error: a connection was lost, or got no answer in time.
    """
    with first.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    if pid == first.info.backend_pid:
        return
    patience, first.patience = first.patience, _ANSWERED
    channel = f"rolehost_{uuid.uuid4().hex}"
    with first.cursor() as cursor:
        cursor.execute(f"LISTEN {channel}")
    second = open_second()
    try:
        second.autocommit = True
        second.patience = _ANSWERED
        with second.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", (channel,))
        if not _is_notified(first, channel):
            raise sessions_mixed(place)
    finally:
        second.close()
    with first.cursor() as cursor:
        cursor.execute(f"UNLISTEN {channel}")
    first.patience = patience


def _is_notified(connection: Connection, channel: str) -> bool:
    """Wait for a notification on the channel, without sending anything."""
    until = time.monotonic() + _NOTIFIED
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    while (left := until - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            connection.poll()
        if any(each.channel == channel for each in connection.notifies):
            connection.notifies.clear()
            return True
    return False
