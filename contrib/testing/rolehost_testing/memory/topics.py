"""Topics, consumer groups and their members, in memory."""

from __future__ import annotations

import itertools
import random
import threading
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from rolehost.api.services import Clock
from rolehost.storage.stream import Partition, Record

from rolehost_testing.memory.interleaving import Interleaving


class Kept(NamedTuple):
    """A stored record; ``timestamp`` is in milliseconds."""

    record: Record
    timestamp: int


class Member:
    """One member of a group.

    Attributes:
        number: unique; partitions are assigned in the order of numbers.
        topics: the topics that it reads.
        seen: time of its last poll, in milliseconds.
        reading: the next offset of each partition that it owns.
    """

    def __init__(self, number: int, topics: Collection[str], now: int) -> None:
        self.number = number
        self.topics = frozenset(topics)
        self.seen = now
        self.reading: dict[Partition, int] = {}


class GroupState:
    """A consumer group: its members and committed offsets."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.committed: dict[Partition, int] = {}

    def owner(self, partition: Partition) -> Member | None:
        """Return the member that owns a partition, or None."""
        for member in self.members.values():
            if partition in member.reading:
                return member
        return None


class Topics:
    """The stream of a world; hold :attr:`changed` while using it.

    Args:
        clock: the time of records and members.
        interleaving: how threads or simulated threads wait.
        partitions: partitions of each topic.
        session: seconds without a poll after which a member is removed; None: never.

    Attributes:
        shuffle: chooses the order of partitions and the number of records of a poll; None reads
            all records in order.
        failing: returns whether a publication fails without being stored.
        unsure: returns whether a publication that was stored fails.
    """

    def __init__(
        self, clock: Clock, interleaving: Interleaving, *, partitions: int, session: float | None
    ) -> None:
        self.clock = clock
        self.interleaving = interleaving
        self.changed = threading.Condition()
        self.shuffle: random.Random | None = None
        self.failing: Callable[[], bool] = _never
        self.unsure: Callable[[], bool] = _never
        self._partitions = partitions
        self._session = session
        self._records: dict[str, list[list[Kept]]] = {}
        self._groups: dict[str, GroupState] = {}
        self._numbers = itertools.count()
        self._spread = itertools.count()

    def names(self) -> list[str]:
        """Return the names of all topics."""
        return list(self._records)

    def topic(self, name: str) -> list[list[Kept]]:
        """Return the partitions of a topic; create it if it is new."""
        found = self._records.get(name)
        if found is None:
            found = self._records[name] = [[] for _ in range(self._partitions)]
        return found

    def group(self, name: str) -> GroupState:
        """Return a group; create it if it is new."""
        return self._groups.setdefault(name, GroupState())

    def groups(self) -> dict[str, GroupState]:
        """Return every group by name."""
        return dict(self._groups)

    def append(self, records: Sequence[Record]) -> None:
        """Append records and wake members."""
        now = self.clock.now()
        for record in records:
            partitions = self.topic(record.topic)
            mark = next(self._spread) if record.key is None else zlib.crc32(record.key)
            partitions[mark % len(partitions)].append(Kept(record, now))
        self.changed.notify_all()

    def join(self, group: str, topics: Collection[str]) -> Member:
        """Add a member to a group."""
        for name in topics:
            self.topic(name)
        member = Member(next(self._numbers), topics, self.clock.now())
        self.group(group).members[member.number] = member
        self.changed.notify_all()
        return member

    def leave(self, group: str, member: Member) -> None:
        """Remove a member from a group."""
        self.group(group).members.pop(member.number, None)
        member.reading.clear()
        self.changed.notify_all()

    def expire(self, group: GroupState) -> None:
        """Remove members that have not polled for too long."""
        if self._session is None:
            return
        oldest = self.clock.now() - self._session * 1000
        for member in [each for each in group.members.values() if each.seen < oldest]:
            del group.members[member.number]

    def share(self, group: GroupState, member: Member) -> set[Partition]:
        """Return the partitions that a member should own."""
        mine = set()
        for topic in sorted(member.topics):
            readers = sorted(
                number for number, each in group.members.items() if topic in each.topics
            )
            place = readers.index(member.number)
            mine |= {
                Partition(topic, number)
                for number in range(len(self.topic(topic)))
                if number % len(readers) == place
            }
        return mine

    def fetch(self, member: Member, paused: Collection[Partition], limit: int) -> list[Record]:
        """Return the next records of a member's partitions, and advance its positions."""
        partitions = sorted(set(member.reading).difference(paused))
        if self.shuffle is not None:
            self.shuffle.shuffle(partitions)
            limit = self.shuffle.randint(1, limit)
        found: list[Record] = []
        for partition in partitions:
            start = member.reading[partition]
            records = self.topic(partition.topic)[partition.number]
            for offset in range(start, min(len(records), start + limit - len(found))):
                kept = records[offset]
                found.append(kept.record.read_at(partition, offset, kept.timestamp))
                member.reading[partition] = offset + 1
        return found

    def waiting(self, member: Member, paused: Collection[Partition]) -> bool:
        """Return whether there is a record for a member."""
        return any(
            offset < len(self.topic(partition.topic)[partition.number])
            for partition, offset in member.reading.items()
            if partition not in paused
        )

    def lag(self, names: Collection[str], group: str) -> int:
        """Return how many records of some topics a group has not committed."""
        committed = self.group(group).committed
        return sum(
            len(records) - committed.get(Partition(name, number), 0)
            for name in names
            for number, records in enumerate(self.topic(name))
        )


def _never() -> bool:
    return False


#: A callback of a subscription.
PartitionsCallback = Callable[[Collection[Partition]], None]
