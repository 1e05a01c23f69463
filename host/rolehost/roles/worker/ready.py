"""Claimed runs that wait for a thread, in order, and the order of the runs of a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from rolehost.delivery.jobs import ClaimedJob, Finish
from rolehost.delivery.members import Together, count_groups, next_group
from rolehost.delivery.partitions import NONE_AHEAD
from rolehost.delivery.runs import KeyRun, Run, ends_before


class ReadyRuns:
    """The claimed runs of one queue that no thread has taken; the caller locks.

    Jobs of the actors ``grouped`` run in groups. ``hand_back`` gets the jobs of runs that do not
    run, or not to their end.
    """

    def __init__(
        self, grouped: Collection[str], hand_back: Callable[[Iterable[ClaimedJob]], None]
    ) -> None:
        self._grouped = grouped
        self._hand_back = hand_back
        self._ready: deque[Run] = deque()
        # Partition of a key → its unfinished run, if the next jobs were not looked for.
        self._ahead: dict[int, KeyRun] = {}
        self.unfinished = 0  # runs claimed and not ended

    def __len__(self) -> int:
        return len(self._ready)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._ready)

    def add(self, runs: Sequence[Run], ahead: Mapping[int, KeyRun] = NONE_AHEAD) -> None:
        """Add claimed runs; a run after a run in ``ahead`` waits until that one has ended."""
        self.unfinished += len(runs)
        self._admit(runs, ahead)

    def _admit(self, runs: Iterable[Run], ahead: Mapping[int, KeyRun] = NONE_AHEAD) -> None:
        for run in runs:
            if isinstance(run, KeyRun):
                before = ahead.get(run.partition_id)
                if before is not None:
                    before.next = run
                    self._start_next(before)
                    continue
                if len(run) > 1:
                    self._ahead[run.partition_id] = run
            self._ready.append(run)

    def take(self) -> Run | None:
        """Remove and return the next run, or None.

        A job of a grouped actor comes with all others that are ready, up to the size of a group.
        """
        if not self._ready:
            return None
        return next_group(self._ready, self._may_join) if self._grouped else self._ready.popleft()

    def threads_wanted(self, most: int) -> int:
        """Return how many times :meth:`take` would return a run, at most ``most``."""
        if not self._grouped:
            return min(len(self._ready), most)
        return count_groups(self._ready, self._may_join, most)

    def _may_join(self, run: Run) -> bool:
        """Return whether a run is one job that may join a group; a suspect must run alone."""
        alone = len(run) == 1 and not ends_before(run)
        return alone and run[0].actor in self._grouped and not run[0].suspect

    @property
    def has_keys(self) -> bool:
        """Whether the next jobs of a key may be claimed while a thread runs those before them."""
        return bool(self._ahead)

    def take_keys(self) -> Mapping[int, KeyRun]:
        """Remove and return the runs of keys whose next jobs are claimed now, by partition."""
        ahead, self._ahead = self._ahead, {}
        return ahead

    def end(self, run: Run, ends: Sequence[Finish]) -> None:
        """Note the end of a run; hand back its jobs without an end."""
        self.unfinished -= len(run) if isinstance(run, Together) else 1
        self._hand_back(run[len(ends) :])
        if isinstance(run, KeyRun):
            run.end(ends)
            self._ahead.pop(run.partition_id, None)
            self._start_next(run)

    def _start_next(self, before: KeyRun) -> None:
        """Let threads take the run after ``before`` if that has ended."""
        if before.next is None or before.ended is None:
            return
        if before.ended is False:
            self.end(before.next, ())
        else:
            before.next.earlier = before.ended
            self._admit([before.next])

    def hand_back_all(self) -> None:
        """Hand back the jobs that no thread has taken."""
        for run in self._ready:
            self.end(run, ())
        self._ready.clear()
