"""Lanes on a thread pool: work runs in order within a lane, and in parallel across lanes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue

from rolehost.roles.coroutines import Coroutines

Work = Callable[[], object]

#: The result of work that goes on: the next work of its lane waits for :meth:`Lanes.resume`.
GOES_ON = object()


class _Lane:
    """One lane, from its first work until it runs empty."""

    __slots__ = ("closed", "lock", "name", "waiting")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        # One lock for each lane, so that threads in different lanes do not contend.
        self.lock = threading.Lock()
        #: None until work waits; in most lanes no work ever waits.
        self.waiting: deque[Work] | None = None
        #: Whether the lane ran empty; later work with its name gets a new lane.
        self.closed = False


class Lanes:
    """A pool of threads that keeps the order within each lane; thread-safe.

    ``coroutines`` is the event loop on which work may go on; None: there is none.
    """

    def __init__(self, threads: int, name: str, coroutines: Coroutines | None = None) -> None:
        self.coroutines = coroutines
        self._lanes: dict[Hashable, _Lane] = {}
        self._runnable: SimpleQueue[tuple[_Lane | None, Work] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        #: Places for retries of parked events: a quarter of the threads, so that slow retries leave
        #: room for other events.
        self.retries = threading.Semaphore(max(1, threads // 4))
        self._busy: set[int] = set()
        for thread in self._threads:
            thread.start()

    @property
    def full(self) -> bool:
        """Whether every thread is busy."""
        return len(self._busy) >= len(self._threads)

    def submit(self, items: Iterable[tuple[Hashable, Work]]) -> None:
        """Run each work after all earlier work of its lane. Work must not raise.

        Work of the lane None waits for no other work. One thread must submit all work of a lane.
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

    def resume(self, name: Hashable, work: Work) -> None:
        """Run the work that its lane waits for."""
        self._runnable.put((None if name is None else self._lanes[name], work))

    def stop(self, timeout: float) -> bool:
        """End each thread after its current work; drop the rest; return False at the timeout."""
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
            result = work()
            self._busy.discard(thread)
            if lane is None or result is GOES_ON:
                continue
            with lane.lock:
                if lane.waiting:
                    # The lane goes to the end of the queue, so that a long lane does not
                    # occupy a thread.
                    self._runnable.put((lane, lane.waiting.popleft()))
                else:
                    lane.closed = True
                    del self._lanes[lane.name]
