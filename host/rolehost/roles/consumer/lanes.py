"""Runs work in lanes: serial within one, parallel across them, on a bounded set of threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue

Work = Callable[[], None]


class _Lane:
    """What waits in one lane while something of it is runnable or runs."""

    __slots__ = ("closed", "lock", "name", "waiting")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        # One for each, so that threads at work in different lanes never meet.
        self.lock = threading.Lock()
        #: None until something waits: in most lanes nothing ever does.
        self.waiting: deque[Work] | None = None
        #: It ran empty, and is another's turn when more comes.
        self.closed = False


class Lanes:
    """A pool of threads that keeps the order of each lane; thread-safe.

    Args:
        threads: how many lanes run at once.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._lanes: dict[Hashable, _Lane] = {}
        self._runnable: SimpleQueue[tuple[_Lane | None, Work] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        self._busy: set[int] = set()
        for thread in self._threads:
            thread.start()

    @property
    def full(self) -> bool:
        """Whether every thread is at work."""
        return len(self._busy) >= len(self._threads)

    def submit(self, items: Iterable[tuple[Hashable, Work]]) -> None:
        """Run each work after everything submitted to its lane before. None must raise.

        Args:
            items: lane and work; what has the lane None waits for nothing. A lane is always
                submitted to by the same thread.
        """
        for name, work in items:
            if name is None:
                self._runnable.put((None, work))
                continue
            lane = self._lanes.get(name)
            if lane is not None:
                with lane.lock:
                    if not lane.closed:
                        if lane.waiting is None:
                            lane.waiting = deque()
                        lane.waiting.append(work)
                        continue
            lane = self._lanes[name] = _Lane(name)
            self._runnable.put((lane, work))

    def stop(self, timeout: float) -> bool:
        """End the threads after the work that each is doing; what waits is dropped.

        Returns:
            Whether all ended within ``timeout`` seconds.
        """
        for _ in self._threads:
            self._runnable.put(None)
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        thread = threading.get_ident()
        while (item := self._runnable.get()) is not None:
            lane, work = item
            self._busy.add(thread)
            work()
            self._busy.discard(thread)
            if lane is None:
                continue
            with lane.lock:
                if lane.waiting:
                    # To the end of the line, so that a long lane does not keep a thread to itself.
                    self._runnable.put((lane, lane.waiting.popleft()))
                else:
                    lane.closed = True
                    del self._lanes[lane.name]
