"""Which engines there are, and where each is found."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from rolehost_testing.services import compose
from rolehost_testing.services.kafka import Broker, Cluster
from rolehost_testing.services.memcached import Memcached
from rolehost_testing.services.places import Missing
from rolehost_testing.services.postgres import Postgres
from rolehost_testing.services.redis import Redis
from rolehost_testing.services.server import Server

#: Every engine by its name, and the variable that names a server of the reader's own.
VARIABLES = {
    "postgres": "ROLEHOST_TEST_POSTGRES_URL",
    "redis": "ROLEHOST_TEST_REDIS_URL",
    "memcached": "ROLEHOST_TEST_MEMCACHED_URL",
    "kafka": "ROLEHOST_TEST_KAFKA_URL",
}

#: A shared server's data need not outlive the machine's power, and many tests connect at once.
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
    """Start a server of one's own, and return when it answers.

    Args:
        name: ``postgres``, ``redis``, ``memcached`` or ``kafka``.
        options: of the engine. postgres: ``standby=True``, ``password``, ``tls=True``,
            ``parameters`` (by name, as in postgresql.conf); redis: ``password``, ``tls=True``,
            ``parameters``; kafka: ``brokers=3``, ``parameters`` (of server.properties),
            and of one broker ``password``, for ``mechanisms`` (``PLAIN``, ``SCRAM-SHA-256``,
            ``SCRAM-SHA-512``), and ``tls=True``, each at a port of its own. Beside ``tls``, all
            of them take ``client_certificates=True``: who shows none is refused.

    Raises:
        Missing: the engine is not on this machine.
        StartFailed: it does not start.
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
    if name == "kafka":
        brokers = options.pop("brokers", 1)
        return Broker(**options) if brokers == 1 else Cluster(brokers, **options)
    raise ValueError(f"no engine {name!r}: expected one of {', '.join(VARIABLES)}")


def start_shared(name: str) -> Server:
    """Start a server for many tests at once; as :func:`start`."""
    return _started(name, dict(SHARED.get(name, {})), contained=True)


def shared_url(name: str) -> str:
    """Return the URL of a server that tests share; do not stop, freeze or flush it.

    Of the environment's variable when it is set, else of a server that is started at the first
    call in this process and stopped at its end.

    Raises:
        Missing: the variable is not set, and the engine is not on this machine.
        StartFailed: it does not start.
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
    # A forked child runs what its parent registered.
    if os.getpid() == owner:
        server.close()
