"""Storage kind ``stream`` in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from rolehost.errors import StorageUnavailable
from rolehost.storage.stream import Partition, Record, Stream, Subscription

from rolehost_testing.memory import abilities
from rolehost_testing.memory.topics import Member, PartitionsCallback, Topics


class MemoryStream(Stream):
    """The stream of one host in a world."""

    capabilities: ClassVar[frozenset[str]] = abilities.STREAM

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._subscriptions: list[MemorySubscription] = []

    def publish(self, records: Sequence[Record]) -> None:
        """See :meth:`rolehost.api.Stream.publish`."""
        self._topics.interleaving.reach("stream.publish")
        if self._topics.failing():
            raise StorageUnavailable("memory: the topic cannot be published to")
        with self._topics.changed:
            self._topics.append(records)
        if self._topics.unsure():
            raise StorageUnavailable("memory: the answer to a publication was lost")

    def subscribe(
        self,
        topics: Collection[str],
        group: str,
        *,
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> MemorySubscription:
        """See :meth:`rolehost.api.Stream.subscribe`."""
        subscription = MemorySubscription(self._topics, topics, group, on_assigned, on_revoked)
        self._subscriptions.append(subscription)
        return subscription

    def lag(self, topics: Collection[str], group: str) -> int:
        """See :meth:`rolehost.api.Stream.lag`."""
        with self._topics.changed:
            return self._topics.lag(topics, group)

    def trim(self) -> int:
        """See :meth:`rolehost.api.Stream.trim`; a world in memory ends before its records do."""
        return 0

    def ping(self) -> None:
        """See :meth:`rolehost.api.Stream.ping`; memory always answers."""

    def close(self) -> None:
        """See :meth:`rolehost.api.Stream.close`."""
        while self._subscriptions:
            self._subscriptions.pop().close()


class MemorySubscription(Subscription):
    """One member of a group. A partition moves only after its owner has released it."""

    def __init__(
        self,
        topics: Topics,
        names: Collection[str],
        group: str,
        assigned: PartitionsCallback,
        revoked: PartitionsCallback,
    ) -> None:
        self._topics = topics
        self._names = tuple(names)
        self._group = group
        self._assigned = assigned
        self._revoked = revoked
        self._paused: set[Partition] = set()
        self._interrupted = False
        self._owned: set[Partition] = set()
        self._closed = False
        with topics.changed:
            self._member = topics.join(group, names)

    @property
    def member(self) -> Member:
        """Its state in the group."""
        return self._member

    def poll(self, timeout: float, limit: int) -> list[Record]:
        """See :meth:`rolehost.api.Subscription.poll`."""
        topics, changed = self._topics, self._topics.changed
        if self._closed:
            return []
        self._settle()
        with changed:
            topics.interleaving.wait(changed, self._something, timeout)
            if self._interrupted:
                self._interrupted = False
                return []
        if self._unsettled():
            self._settle()
        with changed:
            found = topics.fetch(self._member, self._paused, limit)
            self._member.seen = topics.clock.now()
        return found

    def _something(self) -> bool:
        return (
            self._interrupted
            or self._unsettled()
            or self._topics.waiting(self._member, self._paused)
        )

    def _unsettled(self) -> bool:
        """Return whether partitions must be released or taken."""
        topics, group = self._topics, self._topics.group(self._group)
        topics.expire(group)
        if self._member.number not in group.members:
            return True
        due = topics.share(group, self._member)
        mine = set(self._member.reading)
        return bool(mine - due) or any(group.owner(each) is None for each in due - mine)

    def _settle(self) -> None:
        """Release partitions that others should own, then take free ones."""
        topics, changed = self._topics, self._topics.changed
        with changed:
            group = topics.group(self._group)
            topics.expire(group)
            if self._member.number not in group.members:
                lost, self._owned = self._owned, set()
                self._member = topics.join(self._group, self._names)
            else:
                self._member.seen = topics.clock.now()
                lost = self._owned - topics.share(group, self._member)
        if lost:
            self._revoked(sorted(lost))
            with changed:
                for partition in lost:
                    self._member.reading.pop(partition, None)
                self._owned -= lost
                changed.notify_all()
        with changed:
            if self._member.number not in group.members:
                return  # the member was removed meanwhile, and joins again at the next poll
            taken = {
                each
                for each in topics.share(group, self._member) - set(self._member.reading)
                if group.owner(each) is None
            }
            for partition in taken:
                self._member.reading[partition] = group.committed.get(partition, 0)
            self._owned |= taken
        if taken:
            self._assigned(sorted(taken))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See :meth:`rolehost.api.Subscription.commit`."""
        with self._topics.changed:
            group = self._topics.group(self._group)
            if group.members.get(self._member.number) is not self._member:
                return
            for partition, offset in offsets.items():
                if partition in self._member.reading:
                    group.committed[partition] = offset

    def pause(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.pause`."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.resume`."""
        self._paused.difference_update(partitions)

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Subscription.interrupt`."""
        with self._topics.changed:
            self._interrupted = True
            self._topics.changed.notify_all()

    def close(self) -> None:
        """See :meth:`rolehost.api.Subscription.close`."""
        if not self._closed:
            self._closed = True
            with self._topics.changed:
                self._topics.leave(self._group, self._member)
                self._interrupted = True
                self._topics.changed.notify_all()
