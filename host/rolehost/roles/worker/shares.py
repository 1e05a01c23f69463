"""Shares the time of a worker's threads between its queues by their weights.

Each queue has a *virtual time*, which grows by the seconds that threads spend on its jobs, divided
by its weight. A free thread takes jobs of the queue with the lowest one (*start-time fair
queueing*: Goyal, Vin and Cheng, 1996). A queue that had no jobs begins at the time of the others,
so it cannot save up a right to all threads.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping

#: Seconds that are expected of a queue before its jobs were measured.
_FIRST = 0.001


class Shares:
    """The virtual times of the queues of a worker; thread-safe.

    ``weights``: queue → weight; other queues have 1. Times are in seconds of a thread.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._lock = threading.Lock()
        self._now = 0.0
        self._times: dict[str, float] = defaultdict(float)
        self._expected: dict[str, float] = defaultdict(lambda: _FIRST)

    def choose(self, waiting: Collection[str]) -> tuple[str, float]:
        """Return the next of the queues whose jobs wait, and the seconds that are expected.

        The queue is charged for them, so that the next thread may choose another one.
        """
        with self._lock:
            for queue in waiting:
                self._times[queue] = max(self._times[queue], self._now)
            queue = min(waiting, key=self._times.__getitem__)
            self._now = self._times[queue]
            expected = self._expected[queue]
            self._charge(queue, expected)
            return queue, expected

    def spend(self, queue: str, expected: float, seconds: float) -> None:
        """Note the seconds that a thread spent on a queue."""
        with self._lock:
            self._charge(queue, seconds - expected)
            self._expected[queue] += (seconds - self._expected[queue]) / 4

    def _charge(self, queue: str, seconds: float) -> None:
        self._times[queue] += seconds / self._weights.get(queue, 1.0)
