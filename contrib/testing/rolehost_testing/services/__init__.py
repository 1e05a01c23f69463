"""Real engines for tests: PostgreSQL, Redis, memcached and Apache Kafka.

:func:`shared_url` returns the URL of a server that tests share: from the environment (for example
``ROLEHOST_TEST_POSTGRES_URL``), or of a server that is started once. :func:`start` starts a
separate server, which a test may stop, freeze and flush. Both use the programs on this machine.
If they are missing, both use a container, if a container engine is available. Otherwise they
raise :class:`Missing`, with a message how to install the engine.

Servers listen on the loopback address and store everything in a temporary folder. They end with
the process that started them, even if it is killed.
"""

from __future__ import annotations

from rolehost_testing.services.engines import shared_url, start
from rolehost_testing.services.places import Missing
from rolehost_testing.services.server import Server, StartFailed

__all__ = ["Missing", "Server", "StartFailed", "shared_url", "start"]
