"""The partitions that are assigned to a group member, and the offsets that it may commit.

One thread polls and commits. The threads of the lanes (:mod:`rolehost.roles.consumer.lanes`) start
records, and *settle* them when their handling has ended.

PERF: those threads take no lock. If all needed one for each record, each would soon wait for
another one, which waits for the interpreter lock (a *lock convoy*: a third of the rate). Their
steps are single operations of a set and a deque, which are atomic.
"""

from __future__ import annotations

import threading
import time
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
    records start. ``running``: the offsets of the records that are being handled.
    """

    __slots__ = ("offsets", "revoked", "running", "suspects")

    def __init__(self, suspects: int = 0) -> None:
        self.offsets = Offsets()
        self.suspects = suspects
        self.revoked = threading.Event()
        self.running: set[int] = set()


# gc=False: it is never part of a reference cycle, and there is one for each event.
class Taken(msgspec.Struct, frozen=True, gc=False):
    """A record in flight, and the assignment during which it was read.

    ``suspect``: it may have been in flight when a process died (possible poison message).
    """

    record: Record
    assignment: Assignment
    suspect: bool


class Assignments:
    """The assignments of one group member; other threads may only start and settle records."""

    def __init__(self) -> None:
        self._owned: dict[Partition, Assignment] = {}
        #: The assignments with a committable offset that has moved since the last commit.
        self._moved: dict[Partition, Assignment] = {}
        #: The records that were settled and not counted, and whether they are done.
        self._settled: deque[tuple[Taken, bool]] = deque()
        self._uncounted = 0  # records that are in flight, or settled and not counted
        #: Set when no more than ``_wake_at`` records are in flight.
        self._changed = threading.Event()
        self._wake_at = -1

    def assign(self, partitions: Collection[Partition], suspects: int) -> None:
        """Add partitions that were assigned; for ``suspects`` see :class:`Assignment`."""
        for partition in partitions:
            self._owned[partition] = Assignment(suspects)

    def partitions(self) -> list[Partition]:
        """Return the owned partitions."""
        return list(self._owned)

    @property
    def in_flight(self) -> int:
        """The number of records that are taken and not settled; any thread may ask."""
        return self._uncounted - len(self._settled)

    def take(self, records: Sequence[Record]) -> list[Taken]:
        """Put records in flight, in the order in which they were read."""
        taken = []
        for record in records:
            assignment = self._owned.get(record.partition)
            if assignment is None:
                assignment = self._owned[record.partition] = Assignment()
            assignment.offsets.take(record.offset)
            suspect = assignment.suspects > 0
            if suspect:
                assignment.suspects -= 1
            taken.append(Taken(record, assignment, suspect))
        self._uncounted += len(taken)
        return taken

    def start(self, taken: Taken) -> bool:
        """Remember that a record is handled from now on; :meth:`settle` must follow.

        False: its partition was revoked; the record is settled, and must not be handled.
        """
        assignment = taken.assignment
        # In this order: either this thread sees the revocation, or :meth:`revoke` sees the record.
        assignment.running.add(taken.record.offset)
        if assignment.revoked.is_set():
            self.settle(taken, False)
            return False
        return True

    def settle(self, taken: Taken, done: bool) -> None:
        """End the handling of a record; if ``done``, its offset may be committed."""
        self._settled.append((taken, done))
        taken.assignment.running.discard(taken.record.offset)
        if self._wake_at >= self._uncounted - len(self._settled):
            self._changed.set()

    def _count_settled(self) -> None:
        while self._settled:
            taken, done = self._settled.popleft()
            self._uncounted -= 1
            assignment, record = taken.assignment, taken.record
            moved = done and assignment.offsets.finish(record.offset)
            if moved and self._owned.get(record.partition) is assignment:
                self._moved[record.partition] = assignment

    def wait_for_room(self, most: int, timeout: float) -> bool:
        """Wait until at most ``most`` records are in flight; return False at the timeout."""
        return self._wait(lambda: self.in_flight <= most, most, timeout)

    def revoke(self, partitions: Collection[Partition], timeout: float) -> bool:
        """Start no more records of partitions; return False if running ones do not end in time."""
        moving = [self._owned[each] for each in partitions if each in self._owned]
        for assignment in moving:
            assignment.revoked.set()
        everything = self.in_flight
        return self._wait(lambda: not any(each.running for each in moving), everything, timeout)

    def _wait(self, true: Callable[[], bool], wake_at: int, timeout: float) -> bool:
        """Wait for a condition; it is checked when at most ``wake_at`` records are in flight."""
        deadline = time.monotonic() + timeout
        self._wake_at = wake_at
        try:
            while not true():
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    return true()
                self._changed.clear()
            return True
        finally:
            self._wake_at = -1

    def remove(self, partitions: Collection[Partition]) -> None:
        """Remove partitions; offsets of records that are still being handled are not committed."""
        for partition in partitions:
            self._owned.pop(partition, None)
            self._moved.pop(partition, None)

    def note_positions(self, positions: Mapping[Partition, int]) -> None:
        """Make the positions (offsets to read next) committable if all taken records are finished.

        All records before the positions must have been taken. So the offsets of transaction
        markers and of compacted records are committed too.
        """
        self._count_settled()
        for partition, position in positions.items():
            assignment = self._owned.get(partition)
            if assignment is None or len(assignment.offsets) or position == 0:
                continue
            if assignment.offsets.committable != position:
                assignment.offsets.committable = position
                self._moved[partition] = assignment

    def committable(self) -> dict[Partition, int]:
        """Return the offsets that have moved since the last commit."""
        self._count_settled()
        return {
            partition: assignment.offsets.committable
            for partition, assignment in self._moved.items()
            if assignment.offsets.committable is not None
        }

    def note_committed(self, offsets: dict[Partition, int]) -> None:
        """Remember that offsets were committed."""
        for partition, offset in offsets.items():
            assignment = self._moved.get(partition)
            if assignment is not None and assignment.offsets.committable == offset:
                del self._moved[partition]
