"""Dedicated servers of a proof; they and their data are removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.proofs.deployed import Engines
from tests.proofs.kit import Unavailable


@contextmanager
def own_engines() -> Iterator[Engines]:
    """Run PostgreSQL, Redis, memcached and Apache Kafka during the block.

    Raises:
        Unavailable: an engine is not installed on this machine.
    """
    from rolehost_testing.services import Missing, start

    with ExitStack() as stack:
        try:
            urls = {
                name: stack.enter_context(start(name)).url
                for name in ("postgres", "redis", "memcached", "kafka")
            }
        except Missing as missing:
            raise Unavailable(str(missing)) from None
        yield Engines(
            postgres=urls["postgres"],
            redis=urls["redis"],
            memcached=urls["memcached"].removeprefix("memcached://"),
            kafka=urls["kafka"].removeprefix("kafka://"),
        )
