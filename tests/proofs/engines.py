"""Servers of a proof's own: nothing else uses them, and nothing of them stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.proofs.deployed import Engines
from tests.proofs.kit import Unavailable


@contextmanager
def own_engines() -> Iterator[Engines]:
    """Run PostgreSQL, Redis, memcached and Apache Kafka until the block ends.

    Raises:
        Unavailable: one of them is not on this machine.
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
