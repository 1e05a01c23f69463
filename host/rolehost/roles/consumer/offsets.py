"""Which offset of a partition may be committed while its records finish in any order."""

from __future__ import annotations

from collections import deque


class Offsets:
    """The records of one partition that were taken and are not all finished; not thread-safe.

    Example:
        Taken 5, 6, 7; finished 6 and 7: nothing may be committed. Finished 5: 8 may.
    """

    __slots__ = ("_done", "_taken", "committable")

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._done: set[int] = set()
        #: The offset to read next after a restart; None while nothing has finished.
        self.committable: int | None = None

    def take(self, offset: int) -> None:
        """Note that a record was taken; offsets must rise."""
        self._taken.append(offset)

    def finish(self, offset: int) -> bool:
        """Note that a record that was taken is finished; say whether the committable moved."""
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
        """How many records are taken and hold the offset back, or come after such a one."""
        return len(self._taken)
