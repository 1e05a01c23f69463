"""Real engines for tests: PostgreSQL, Redis, memcached and Apache Kafka.

:func:`shared_url` gives the URL of a server that tests share: of the environment
(``ROLEHOST_TEST_POSTGRES_URL`` and its like), else of one that is started once. :func:`start`
starts a server of one's own, to be stopped, frozen and flushed. Both take what the machine has,
else a container where a container engine answers, and raise :class:`Missing`, which says how to
get it, when there is neither.

Servers listen on the loopback address, keep everything in a temporary folder, and are gone when
the process that started them is gone, a killed one too.
"""

from __future__ import annotations

from rolehost_testing.services.engines import shared_url, start
from rolehost_testing.services.places import Missing
from rolehost_testing.services.server import Server, StartFailed

__all__ = ["Missing", "Server", "StartFailed", "shared_url", "start"]
