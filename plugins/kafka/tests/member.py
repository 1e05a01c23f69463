"""A member of a group whose polls are the test's."""

from __future__ import annotations

import time
from collections.abc import Callable

from rolehost.api import Partition, Subscription
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

PATIENCE = 40.0


class Member:
    """A member of ``group``, which reads ``topic``.

    Attributes:
        owned: its partitions.
        values: what it has read.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.stream = KafkaStream(settings)
        self.owned: set[Partition] = set()
        self.values: list[bytes] = []
        self._read: dict[Partition, int] = {}
        self.subscription: Subscription = self.stream.subscribe(
            ["topic"],
            "group",
            on_assigned=self.owned.update,
            on_revoked=self.owned.difference_update,
        )

    def poll(self) -> None:
        """Read what is there."""
        for each in self.subscription.poll(0.2, 100):
            self.values.append(each.value)
            self._read[each.partition] = each.offset + 1

    def leave(self) -> None:
        """Commit what was read, and leave the group."""
        self.subscription.commit(self._read)
        self.close()

    def close(self) -> None:
        """Leave the group. Idempotent."""
        self.subscription.close()
        self.stream.close()


def until(true: Callable[[], object], *members: Member) -> None:
    """Let members poll until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, [(each.owned, len(each.values)) for each in members]
        for member in members:
            member.poll()
        if not members:
            time.sleep(0.01)
