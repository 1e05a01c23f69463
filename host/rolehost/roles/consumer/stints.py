"""The partitions that a member owns, from when it gets each until it gives it up.

One thread polls and keeps the books; the threads that handle only say what they begin and what
they have finished. They share no lock for it: a dict's item and a deque's end are written at
once, and a lock that every event needs is one at which all threads queue.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rolehost.roles.consumer.offsets import Offsets
from rolehost.storage import Partition, Record

#: More than is ever finished: nobody waits.
_NEVER = sys.maxsize


class Stint:
    """One partition while it is owned; when it is owned again, that is another stint.

    Attributes:
        offsets: what was taken and finished.
        careful: how many of the next records are to be handled carefully, for they may have
            been in flight when a process died.
        gone: set when it is given up: what has not begun must not begin.
    """

    __slots__ = ("careful", "gone", "offsets")

    def __init__(self, careful: int = 0) -> None:
        self.offsets = Offsets()
        self.careful = careful
        self.gone = threading.Event()


#: A record that was taken, the stint in which it was, and whether to be careful.
Taken = tuple[Record, Stint, bool]


class Stints:
    """What one member owns and has in flight.

    :meth:`start` and :meth:`settle` are for any thread, everything else for the one that polls.

    Args:
        who: tells the threads that handle apart.
    """

    def __init__(self, who: Callable[[], int] = threading.get_ident) -> None:
        self._who = who
        self._owned: dict[Partition, Stint] = {}
        self._dirty: dict[Partition, Stint] = {}
        self._flying = 0
        #: What each thread is handling.
        self._running: dict[int, Sequence[Taken]] = {}
        #: What was settled and is not in the books yet; with it, whether it is finished.
        self._settled: deque[tuple[Taken, bool]] = deque()
        #: Set when as much as that has been settled.
        self._enough = threading.Event()
        self._wanted = _NEVER

    def begin(self, partitions: Collection[Partition], careful: int) -> None:
        """Own partitions from now on."""
        for partition in partitions:
            self._owned[partition] = Stint(careful)

    def partitions(self) -> list[Partition]:
        """Return what is owned."""
        return list(self._owned)

    def take(self, records: Sequence[Record]) -> list[Taken]:
        """Note records that are to be handled."""
        taken = []
        owned = self._owned
        for record in records:
            stint = owned.get(record.partition)
            if stint is None:
                stint = owned[record.partition] = Stint()
            stint.offsets.take(record.offset)
            careful = stint.careful > 0
            if careful:
                stint.careful -= 1
            taken.append((record, stint, careful))
        self._flying += len(records)
        return taken

    def start(self, taken: Sequence[Taken]) -> Sequence[Taken]:
        """Note that this thread handles records from now on; return those that still may be.

        The others are settled: their partition was given up. Every start of some has its
        :meth:`settle`.
        """
        # Told before it is looked whether they are given up: who gives them up looks at what is
        # told afterwards, so that one of the two sees the other.
        self._running[self._who()] = taken
        kept: list[Taken] = []
        gone: list[tuple[Taken, bool]] = []
        for each in taken:
            # Asked once for each: it may be given up at any moment, and is in one of the two.
            if each[1].gone.is_set():
                gone.append((each, False))
            else:
                kept.append(each)
        if gone:
            self._settled.extend(gone)
            self._end(kept)
        return kept

    def settle(self, taken: Iterable[Taken], done: bool) -> None:
        """Note that this thread handles records no more; ``done``: they are finished."""
        self._settled.extend([(each, done) for each in taken])
        self._end(())

    def _end(self, kept: Sequence[Taken]) -> None:
        thread = self._who()
        if kept:
            self._running[thread] = kept
        else:
            del self._running[thread]
        if len(self._settled) >= self._wanted:
            self._enough.set()

    @property
    def unsettled(self) -> int:
        """How many records are taken and not settled, about; for any thread."""
        return max(0, self._flying - len(self._settled))

    def flying(self) -> int:
        """Return how many records were taken and are not settled."""
        settled, dirty = self._settled, self._dirty
        for _ in range(len(settled)):
            (record, stint, _careful), done = settled.popleft()
            self._flying -= 1
            if done and stint.offsets.finish(record.offset):
                dirty[record.partition] = stint
        return self._flying

    def await_flying(self, most: int, timeout: float) -> bool:
        """Wait until at most so many records are in flight; say whether it came to that."""
        return self._await(
            lambda: self.flying() <= most, lambda: max(1, self._flying - most), timeout
        )

    def release(self, partitions: Collection[Partition], timeout: float) -> bool:
        """Begin nothing more of some partitions; wait for what is being handled.

        Returns:
            Whether all of it ended within ``timeout`` seconds.
        """
        stints = {id(self._owned[each]) for each in partitions if each in self._owned}
        for each in partitions:
            if each in self._owned:
                self._owned[each].gone.set()

        def ended() -> bool:
            running = list(self._running.values())
            return not any(id(each[1]) in stints for taken in running for each in taken)

        # Zero: at whatever is settled, also when that is in the books already.
        return self._await(ended, lambda: 0, timeout)

    def _await(self, true: Callable[[], bool], wanted: Callable[[], int], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not (held := true()):
            self._enough.clear()
            self._wanted = wanted()
            # Looked at again: it may have come between the look and the wish to be told.
            if len(self._settled) < self._wanted or self._wanted == 0:
                if (held := true()) or (left := deadline - time.monotonic()) <= 0:
                    break
                self._enough.wait(left)
        self._wanted = _NEVER
        return held

    def forget(self, partitions: Collection[Partition]) -> None:
        """Own partitions no longer; what is still being handled there finishes unnoticed."""
        for partition in partitions:
            self._owned.pop(partition, None)
            self._dirty.pop(partition, None)

    def read_up_to(self, positions: Mapping[Partition, int]) -> None:
        """Note up to where partitions were read, also where there was no record to take.

        Markers of transactions and compacted offsets can then be committed like records.

        Args:
            positions: of partitions whose records were all taken, the offset to read next.
        """
        self.flying()
        for partition, position in positions.items():
            stint = self._owned.get(partition)
            if stint is None or stint.offsets or position == 0:
                continue
            if stint.offsets.committable != position:
                stint.offsets.committable = position
                self._dirty[partition] = stint

    def committable(self) -> dict[Partition, int]:
        """Return the offsets that have moved since they were committed."""
        self.flying()
        return {
            partition: stint.offsets.committable
            for partition, stint in self._dirty.items()
            if self._owned.get(partition) is stint and stint.offsets.committable is not None
        }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Note that offsets are stored."""
        for partition, offset in offsets.items():
            stint = self._dirty.get(partition)
            if stint is not None and stint.offsets.committable == offset:
                del self._dirty[partition]
