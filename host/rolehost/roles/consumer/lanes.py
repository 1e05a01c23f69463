"""Runs work in lanes: serial within one, parallel across them, on a bounded set of threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue

Work = Callable[[], None]


class Lanes:
    """A pool of threads that keeps the order of each lane; thread-safe.

    Args:
        threads: how many lanes run at once.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, deque[Work]] = {}
        self._runnable: SimpleQueue[tuple[Hashable, Work] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, items: Iterable[tuple[Hashable, Work]]) -> None:
        """Run each work after everything submitted to its lane before. None must raise.

        Args:
            items: lane and work; what has the lane None waits for nothing.
        """
        with self._lock:
            for item in items:
                lane, work = item
                if lane is not None:
                    waiting = self._lanes.get(lane)
                    if waiting is not None:
                        waiting.append(work)
                        continue
                    self._lanes[lane] = deque()
                self._runnable.put(item)

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
        while (item := self._runnable.get()) is not None:
            lane, work = item
            work()
            if lane is None:
                continue
            with self._lock:
                waiting = self._lanes[lane]
                if waiting:
                    # To the end of the line, so that a long lane does not keep a thread to itself.
                    self._runnable.put((lane, waiting.popleft()))
                else:
                    del self._lanes[lane]
