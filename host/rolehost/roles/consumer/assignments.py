"""The partitions that are assigned to a group member, and the offsets that it may commit.

One thread polls and commits. The threads of the lanes (:mod:`rolehost.roles.consumer.lanes`) start
records, and *settle* them when their handling has ended. All these threads share one lock, which
each holds for about a microsecond.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from rolehost.storage import Partition, Record


class Offsets:
    """The committable offset (low watermark) of one partition; records finish in any order.

    For example, 5, 6 and 7 are taken. When only 6 and 7 have finished, no offset is committable;
    when 5 has finished too, 8 is.
    """

    __slots__ = ("_done", "_taken", "committable")

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._done: set[int] = set()
        #: The offset to read next after a restart; None until the first record is finished.
        self.committable: int | None = None

    def take(self, offset: int) -> None:
        """Remember that a record was taken; offsets must rise."""
        self._taken.append(offset)

    def finish(self, offset: int) -> bool:
        """Remember that a taken record is finished; return whether ``committable`` moved."""
        taken, done = self._taken, self._done
        if taken[0] != offset:
            done.add(offset)
            return False
        head = taken.popleft()
        while taken and taken[0] in done:
            head = taken.popleft()
            done.remove(head)
        self.committable = head + 1
        return True

    def __len__(self) -> int:
        """Return the number of taken records from the first unfinished one on."""
        return len(self._taken)


class Assignment:
    """One partition from its assignment to its revocation; a later assignment is another object.

    The next ``suspects`` records may have killed a process. When ``revoked`` is set, no more
    records start. ``running`` counts the records that are being handled.
    """

    __slots__ = ("offsets", "revoked", "running", "suspects")

    def __init__(self, suspects: int = 0) -> None:
        self.offsets = Offsets()
        self.suspects = suspects
        self.revoked = threading.Event()
        self.running = 0


# gc=False: it is never part of a reference cycle, and there is one for each event.
class Taken(msgspec.Struct, frozen=True, gc=False):
    """A record in flight, and the assignment during which it was read.

    ``suspect``: it may have been in flight when a process died (possible poison message).
    """

    record: Record
    assignment: Assignment
    suspect: bool


class Assignments:
    """The assignments of one group member. Thread-safe."""

    def __init__(self) -> None:
        self._owned: dict[Partition, Assignment] = {}
        #: The assignments with a committable offset that has moved since the last commit.
        self._moved: dict[Partition, Assignment] = {}
        self._in_flight = 0
        self._lock = threading.Lock()
        #: Notified when no more than ``_wake_at`` records are in flight.
        self._changed = threading.Condition(self._lock)
        self._wake_at = -1

    def assign(self, partitions: Collection[Partition], suspects: int) -> None:
        """Add partitions that were assigned; for ``suspects`` see :class:`Assignment`."""
        with self._lock:
            for partition in partitions:
                self._owned[partition] = Assignment(suspects)

    def partitions(self) -> list[Partition]:
        """Return the owned partitions."""
        return list(self._owned)

    @property
    def in_flight(self) -> int:
        """The number of records that are taken and not settled."""
        return self._in_flight

    def take(self, records: Sequence[Record]) -> list[Taken]:
        """Put records in flight, in the order in which they were read."""
        taken = []
        with self._lock:
            for record in records:
                assignment = self._owned.get(record.partition)
                if assignment is None:
                    assignment = self._owned[record.partition] = Assignment()
                assignment.offsets.take(record.offset)
                suspect = assignment.suspects > 0
                if suspect:
                    assignment.suspects -= 1
                taken.append(Taken(record, assignment, suspect))
            self._in_flight += len(taken)
        return taken

    def start(self, taken: Taken) -> bool:
        """Remember that a record is handled from now on; :meth:`settle` must follow.

        False: its partition was revoked; the record is settled, and must not be handled.
        """
        assignment = taken.assignment
        with self._lock:
            if assignment.revoked.is_set():
                self._count_settled()
                return False
            assignment.running += 1
        return True

    def settle(self, taken: Taken, done: bool) -> None:
        """End the handling of a record; if ``done``, its offset may be committed."""
        assignment, record = taken.assignment, taken.record
        with self._lock:
            assignment.running -= 1
            if done and assignment.offsets.finish(record.offset):
                self._moved[record.partition] = assignment
            self._count_settled()

    def _count_settled(self) -> None:
        self._in_flight -= 1
        if self._in_flight <= self._wake_at:
            self._changed.notify_all()

    def wait_for_room(self, most: int, timeout: float) -> bool:
        """Wait until at most ``most`` records are in flight; return False at the timeout."""
        return self._wait(lambda: self._in_flight <= most, most, timeout)

    def revoke(self, partitions: Collection[Partition], timeout: float) -> bool:
        """Start no more records of partitions; return False if running ones do not end in time."""
        with self._lock:
            moving = [self._owned[each] for each in partitions if each in self._owned]
            for assignment in moving:
                assignment.revoked.set()
            everything = self._in_flight
        return self._wait(lambda: not any(each.running for each in moving), everything, timeout)

    def _wait(self, true: Callable[[], bool], wake_at: int, timeout: float) -> bool:
        """Wait for a condition; it is checked when at most ``wake_at`` records are in flight."""
        with self._changed:
            self._wake_at = wake_at
            try:
                return self._changed.wait_for(true, timeout)
            finally:
                self._wake_at = -1

    def remove(self, partitions: Collection[Partition]) -> None:
        """Remove partitions; offsets of records that are still being handled are not committed."""
        with self._lock:
            for partition in partitions:
                self._owned.pop(partition, None)
                self._moved.pop(partition, None)

    def note_positions(self, positions: Mapping[Partition, int]) -> None:
        """Make the positions (offsets to read next) committable if all taken records are finished.

        All records before the positions must have been taken. So the offsets of transaction
        markers and of compacted records are committed too.
        """
        with self._lock:
            for partition, position in positions.items():
                assignment = self._owned.get(partition)
                if assignment is None or len(assignment.offsets) or position == 0:
                    continue
                if assignment.offsets.committable != position:
                    assignment.offsets.committable = position
                    self._moved[partition] = assignment

    def committable(self) -> dict[Partition, int]:
        """Return the offsets that have moved since the last commit."""
        with self._lock:
            return {
                partition: assignment.offsets.committable
                for partition, assignment in self._moved.items()
                if self._owned.get(partition) is assignment
                and assignment.offsets.committable is not None
            }

    def note_committed(self, offsets: dict[Partition, int]) -> None:
        """Remember that offsets were committed."""
        with self._lock:
            for partition, offset in offsets.items():
                assignment = self._moved.get(partition)
                if assignment is not None and assignment.offsets.committable == offset:
                    del self._moved[partition]
