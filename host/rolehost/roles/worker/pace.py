"""How fast jobs of a queue run in a process: how many to claim, and how many threads to use."""

from __future__ import annotations

import math
from collections.abc import Callable

from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runs import Run
from rolehost.roles.worker.slow import SlowJobs

#: Seconds of work that are claimed ahead (prefetch).
PREFETCH_SECONDS = 0.1

#: Maximum number of jobs of a key that are claimed together; one thread runs them.
LONGEST_RUN = 1000

#: The mean duration of a job, divided by these seconds, is the number of threads to use. Threads
#: that run shorter jobs are busy with Python code, so more threads would only wait for the
#: interpreter lock (GIL), and delay the next claim.
QUICK_SECONDS = 50e-6

#: Milliseconds for which claimed jobs wait before all threads are used; a running job may be slow.
SHARE_MILLISECONDS = 5

#: Milliseconds for which a claimed job waits for a thread of this process; then it is handed back.
HOARD_MILLISECONDS = 200


class Pace:
    """The measured durations of jobs, and the sizes that follow from them; the caller locks.

    ``clock`` returns milliseconds. At least ``threads`` and at most ``most`` runs are claimed.
    """

    def __init__(self, clock: Callable[[], int], threads: int, most: int) -> None:
        self._clock = clock
        self._threads = threads
        self._most = max(most, threads)
        self.slow = SlowJobs()
        self.mean = PREFETCH_SECONDS  # a running mean of the duration of a job
        self.running = 0  # runs that threads have taken and not finished
        self.taken_at = 0  # milliseconds; when the last one was taken
        self._claimed_at = 0  # milliseconds; when jobs were claimed last

    def claim(self) -> None:
        """Note that jobs were claimed."""
        self._claimed_at = self._clock()

    def take(self, run: Run) -> None:
        """Note that a thread begins a run."""
        self.running += 1
        self.taken_at = self._clock()
        self.slow.take(run)

    def end(self, run: Run) -> None:
        """Note that a thread has ended a run."""
        self.running -= 1
        self.slow.end(run)

    def measure(self, job: ClaimedJob, seconds: float) -> None:
        """Note how long a job took."""
        self.mean += (seconds - self.mean) * 0.1
        self.slow.measure(job, seconds)

    @property
    def all_threads_are_slow(self) -> bool:
        """Whether no thread has taken a job for a long time."""
        return self._clock() - self.taken_at > HOARD_MILLISECONDS

    @property
    def hoards(self) -> bool:
        """Whether the claimed jobs wait too long for a thread."""
        return self._waited() > HOARD_MILLISECONDS

    def _waited(self) -> int:
        """Return for how many milliseconds no thread has taken a claimed job."""
        return self._clock() - max(self.taken_at, self._claimed_at)

    def useful_threads(self) -> int:
        """Return how many threads to use: fewer for quick jobs, but all if claimed jobs wait."""
        if self._waited() > SHARE_MILLISECONDS:
            return self._threads
        useful = math.ceil(self.mean / QUICK_SECONDS) + self.slow.running
        return min(self._threads, useful)

    def limit(self) -> int:
        """Return how many runs may be unfinished after a claim."""
        ahead = math.ceil(PREFETCH_SECONDS * self._threads / max(self.mean, 1e-6))
        return min(max(self._threads, ahead), self._most)

    def longest_run(self) -> int:
        """Return how many jobs of a key to claim for one thread."""
        return min(math.ceil(PREFETCH_SECONDS / max(self.mean, 1e-6)), LONGEST_RUN)
