"""The state that the caller's thread and the consumer's thread share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from typing import Literal, NamedTuple

from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future
from rolehost.api import Partition, Record, StorageError

from rolehost_kafka.names import Names


class Callback(NamedTuple):
    """A callback for the caller's thread; the rebalance waits until it has run."""

    kind: Literal["assigned", "revoked", "lost"]
    partitions: tuple[Partition, ...]
    answer: Future


class Mailbox:
    """Shared state of a subscription; everything in it is guarded by ``changed``.

    A *round* is one poll of the consumer by the consumer's thread.

    Attributes:
        changed: notified at every change.
        records: records that were read and not returned yet, in order.
        positions: next offsets of owned partitions after the last round.
        calls: callbacks to run, in order.
        failure: the error of the last round.
        wanted: maximum records of the next round; 0 starts no round.
        running: whether a round is under way.
        paused: partitions whose records are not returned.
        interrupted: whether a poll must return at once.
        closing: whether the consumer must leave its group; never reset.
        ended: whether the consumer has left.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.records: deque[Record] = deque()
        self.positions: dict[Partition, int] = {}
        self.calls: deque[Callback] = deque()
        self.failure: StorageError | None = None
        self.wanted = 0
        self.running = False
        self.paused: set[Partition] = set()
        self.interrupted = False
        self.closing = False
        self.ended = False

    def call(self, call: Callback) -> None:
        """Ask the caller's thread to run a callback."""
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    def take(self, limit: int) -> list[Record]:
        """Return the next records of partitions that are not paused; keep the rest."""
        if not self.paused:
            return [self.records.popleft() for _ in range(min(limit, len(self.records)))]
        taken: list[Record] = []
        held: deque[Record] = deque()
        for record in self.records:
            if len(taken) < limit and record.partition not in self.paused:
                taken.append(record)
            else:
                held.append(record)
        self.records = held
        return taken

    def drop(self, partitions: Collection[Partition]) -> None:
        """Drop the records and pauses of partitions that are no longer owned."""
        self.records = deque(d for d in self.records if d.partition not in partitions)
        self.forget_positions(partitions)
        self.paused.difference_update(partitions)

    def forget_positions(self, partitions: Collection[Partition]) -> None:
        """Forget the positions of partitions, which other members read now."""
        for partition in partitions:
            self.positions.pop(partition, None)

    @property
    def idle(self) -> bool:
        """Whether no round is under way or asked for."""
        return not self.running and not self.wanted


class RebalanceListener(AsyncConsumerRebalanceListener):
    """Passes rebalances to the caller's thread, and waits without delaying heartbeats.

    kafka-python calls a listener in its input and output thread. That thread cannot wait for a
    commit, and slow code in it loses the membership.

    Args:
        mailbox: gets the calls.
        names: removes the prefix from names.
    """

    def __init__(self, mailbox: Mailbox, names: Names) -> None:
        self._mailbox = mailbox
        self._names = names

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Wait until the caller knows its partitions."""
        await self._ask("assigned", assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Wait until the caller has released them; it may commit until then."""
        await self._ask("revoked", revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Wait until the caller has released partitions that others own already."""
        await self._ask("lost", lost)

    async def _ask(
        self,
        kind: Literal["assigned", "revoked", "lost"],
        partitions: Collection[TopicPartition],
    ) -> None:
        if partitions:
            answer = Future()
            places = tuple(sorted(self._names.from_kafka(*each) for each in partitions))
            self._mailbox.call(Callback(kind, places, answer))
            await answer
