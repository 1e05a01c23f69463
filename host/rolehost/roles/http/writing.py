"""Whether a client takes what is written to it, judged by what waits to be sent."""

from __future__ import annotations

#: Bytes that a client must take within the time-out while more than that waits, so that one that
#: takes a byte now and then keeps no answer in memory. With 30 s that is 0.5 kB/s.
LEAST = 16_384


class Progress:
    """Watches the write buffer of one connection.

    Growth is no progress: an event stream whose client does not read grows with each event.
    """

    __slots__ = ("_began", "_last", "_taken")

    def __init__(self) -> None:
        self._began: float | None = None
        self._last = 0
        self._taken = 0

    def made(self) -> None:
        """Note that the client has taken much: the buffer fell below its low-water mark."""
        self._began = None

    def stalled(self, waiting: int, now: float, timeout: float) -> bool:
        """Say whether the client took too little for too long.

        Args:
            waiting: bytes in the write buffer.
            now: a monotonic time, seconds.
            timeout: seconds.
        """
        if not waiting:
            self._began = None
            return False
        if self._began is None:
            self._began, self._taken = now, 0
        else:
            self._taken += max(self._last - waiting, 0)
            if self._taken >= LEAST:
                self._began, self._taken = now, 0
        self._last = waiting
        return now - self._began > timeout
