"""One member of a consumer group: reads records and keeps its lease."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from rolehost.api import Listener, Partition, Record, StorageError, Subscription

from rolehost_embedded.groups import Member, PartitionId, TopicsGone
from rolehost_embedded.topics import Topic, Topics


def records_name(topic: str) -> str:
    """Return the name that wakes the readers of a topic."""
    return f"records:{topic}"


def group_name(group: str) -> str:
    """Return the name that wakes the members of a group to rebalance."""
    return f"group:{group}"


class EmbeddedSubscription(Subscription):
    """Reads its partitions in turn.

    Args:
        topics: the records.
        subscribed: the topics to read.
        member: the member's rows in the tables of the group.
        listener: ends a wait in :meth:`poll`.
        heartbeat: seconds between reports; a third of the lease.
        wake_group: wakes the other members.
        on_assigned: called with new partitions.
        on_revoked: called with partitions before the member gives them up, or after it lost them.
    """

    def __init__(
        self,
        topics: Topics,
        subscribed: Sequence[Topic],
        member: Member,
        *,
        listener: Listener,
        heartbeat: float,
        wake_group: Callable[[], None],
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> None:
        self._topics = topics
        self._by_id = {topic.id: topic for topic in subscribed}
        self._by_name = {topic.name: topic for topic in subscribed}
        self._member = member
        self._listener = listener
        self._heartbeat = heartbeat
        self._wake_group = wake_group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._positions: dict[PartitionId, int] = {}
        self._paused: set[PartitionId] = set()
        self._joined = False
        self._report_at = float("-inf")
        self._turn = 0
        self._interrupted = False
        self._closed = False

    def poll(self, timeout: float, limit: int) -> list[Record]:
        """See :meth:`rolehost.api.Subscription.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            if time.monotonic() >= self._report_at:
                self._rebalance()
            records = self._fetch(limit)
            left = deadline - time.monotonic()
            if records or left <= 0 or self._interrupted or self._closed:
                self._interrupted = False
                return records
            names = self._listener.wait(min(left, max(self._report_at - time.monotonic(), 0.0)))
            if any(name.startswith("group:") for name in names):
                self._report_at = float("-inf")

    def _rebalance(self) -> None:
        """Report to the group and move towards this member's share."""
        try:
            rebalance = self._member.report(first=not self._joined)
        except TopicsGone:
            self._revoke(tuple(self._positions))
            self._set_topics([self._topics.reload(name) for name in self._by_name])
            rebalance = self._member.report(first=True)
        self._joined = True
        wake = rebalance.changed
        if rebalance.lost:
            self._revoke(tuple(self._positions))
        elif rebalance.surplus:
            self._revoke(rebalance.surplus)
            self._member.release(rebalance.surplus)
            wake = True
        if rebalance.may_claim:
            taken = self._member.claim()
            if taken:
                self._positions.update(taken)
                self._on_assigned([self._partition(place) for place in taken])
        self._report_at = time.monotonic() + self._heartbeat
        if wake:
            self._wake_group()

    def _set_topics(self, topics: Sequence[Topic]) -> None:
        self._by_id = {topic.id: topic for topic in topics}
        self._by_name = {topic.name: topic for topic in topics}
        self._member.set_topics(topics)

    def _revoke(self, places: Collection[PartitionId]) -> None:
        """Stop reading. The callback may still commit, so the claims end after the callback."""
        owned = [place for place in places if place in self._positions]
        if owned:
            self._on_revoked([self._partition(place) for place in owned])
        for place in owned:
            del self._positions[place]
            self._paused.discard(place)

    def _fetch(self, limit: int) -> list[Record]:
        readable = [place for place in self._positions if place not in self._paused]
        if not readable:
            return []
        self._turn += 1
        start = self._turn % len(readable)
        found: list[Record] = []
        with self._topics.database.session():
            for place in readable[start:] + readable[:start]:
                topic = self._by_id[place[0]]
                batch = self._topics.read(
                    topic, place[1], self._positions[place], limit - len(found)
                )
                if batch:
                    found.extend(batch)
                    self._positions[place] = batch[-1].offset + 1
                if len(found) >= limit:
                    break
        return found

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See :meth:`rolehost.api.Subscription.commit`."""
        positions = {
            id_: offset
            for partition, offset in offsets.items()
            if (id_ := self._partition_id(partition)) in self._positions
        }
        if positions:
            self._member.commit(positions)

    def pause(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.pause`."""
        self._paused.update(
            id_ for partition in partitions if (id_ := self._partition_id(partition)) is not None
        )

    def resume(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.resume`."""
        self._paused.difference_update(self._partition_id(partition) for partition in partitions)

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Subscription.interrupt`."""
        self._interrupted = True
        self._listener.interrupt()

    def close(self) -> None:
        """See :meth:`rolehost.api.Subscription.close`; first revokes the owned partitions."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):
            self._revoke(tuple(self._positions))
        with contextlib.suppress(StorageError):
            self._member.leave()
        self._wake_group()
        self._listener.close()

    def _partition(self, place: PartitionId) -> Partition:
        return Partition(self._by_id[place[0]].name, place[1])

    def _partition_id(self, partition: Partition) -> PartitionId | None:
        topic = self._by_name.get(partition.topic)
        return None if topic is None else (topic.id, partition.number)
