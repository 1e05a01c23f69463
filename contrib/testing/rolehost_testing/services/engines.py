"""The known engines, and how to start or find a server of each."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from rolehost_testing.services import compose
from rolehost_testing.services.kafka import Broker, Cluster
from rolehost_testing.services.memcached import Memcached
from rolehost_testing.services.pgbouncer import PgBouncer
from rolehost_testing.services.places import Missing
from rolehost_testing.services.postgres import Postgres
from rolehost_testing.services.redis import Redis
from rolehost_testing.services.server import Server

#: Engine name → environment variable with the URL of an existing server.
VARIABLES = {
    "postgres": "ROLEHOST_TEST_POSTGRES_URL",
    "redis": "ROLEHOST_TEST_REDIS_URL",
    "memcached": "ROLEHOST_TEST_MEMCACHED_URL",
    "kafka": "ROLEHOST_TEST_KAFKA_URL",
}

#: Options of shared servers: no durability against power loss, and many connections.
SHARED: dict[str, dict[str, Any]] = {
    "postgres": {
        "parameters": {
            "fsync": False,
            "synchronous_commit": False,
            "full_page_writes": False,
            "max_connections": 400,
        }
    },
    "redis": {"parameters": {"appendonly": "no"}},
}

_shared: dict[str, Server] = {}
_lock = threading.Lock()


def start(name: str, **options: Any) -> Server:
    """Start a separate server and wait until it answers.

    Args:
        name: ``postgres``, ``redis``, ``memcached``, ``kafka`` or ``pgbouncer``.
        options: options of the engine. postgres: ``standby=True``, ``password``, ``tls=True``,
            ``parameters`` (by name, as in postgresql.conf). pgbouncer: ``server`` (a URL),
            ``parameters`` (of pgbouncer.ini). redis: ``password``, ``tls=True``,
            ``parameters``. kafka: ``brokers=3``, ``parameters`` (of server.properties); for a
            single broker also ``password`` with ``mechanisms`` (``PLAIN``, ``SCRAM-SHA-256``,
            ``SCRAM-SHA-512``), and ``tls=True``, each on a separate port. With ``tls``, all of
            them accept ``client_certificates=True``, which rejects clients without certificate.

    Raises:
        Missing: the engine is not on this machine.
        StartFailed: the server does not start.
        ValueError: there is no such engine.
    """
    return _started(name, options, contained=not options)


def _started(name: str, options: dict[str, Any], *, contained: bool) -> Server:
    try:
        server = _make(name, options)
    except Missing:
        program = compose.engine() if contained else None
        if program is None:
            raise
        server = compose.Contained(name, program)
    try:
        server.run()
    except BaseException:
        server.close()
        raise
    return server


def _make(name: str, options: dict[str, Any]) -> Server:
    if name == "postgres":
        return Postgres(**options)
    if name == "redis":
        return Redis(**options)
    if name == "memcached":
        return Memcached(**options)
    if name == "pgbouncer":
        return PgBouncer(**options)
    if name == "kafka":
        brokers = options.pop("brokers", 1)
        return Broker(**options) if brokers == 1 else Cluster(brokers, **options)
    raise ValueError(f"no engine {name!r}: expected one of {', '.join(VARIABLES)}, pgbouncer")


def start_shared(name: str) -> Server:
    """Start a server that many tests share; see :func:`start`."""
    return _started(name, dict(SHARED.get(name, {})), contained=True)


def shared_url(name: str) -> str:
    """Return the URL of a server that tests share; do not stop, freeze or flush it.

    If the environment variable of the engine is set, return its value. Otherwise start a server
    at the first call in this process, and stop it at the end of the process.

    Raises:
        Missing: the variable is not set, and the engine is not on this machine.
        StartFailed: the server does not start.
        ValueError: there is no such engine.
    """
    if name not in VARIABLES:
        raise ValueError(f"no engine {name!r}: expected one of {', '.join(VARIABLES)}")
    if url := os.environ.get(VARIABLES[name]):
        return url
    with _lock:
        if name not in _shared:
            server = start_shared(name)
            atexit.register(_close_of, os.getpid(), server)
            _shared[name] = server
        return _shared[name].url


def _close_of(owner: int, server: Server) -> None:
    # A forked child also runs the exit functions of its parent.
    if os.getpid() == owner:
        server.close()
