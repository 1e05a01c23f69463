"""Runs of claimed jobs: what one thread takes and runs, one job after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rolehost.delivery.jobs import FINISHED, ClaimedJob, Finish

#: Jobs that one thread runs one after another. Most runs have one job.
Run = list[ClaimedJob]


class KeyRun(list[ClaimedJob]):
    """The first jobs of a key, in order. The next run may be claimed before this one ends.

    ``next`` starts when this run has ended. ``ended`` is None until then; afterwards it is
    the list of (job, end) that are not stored yet. If a job has not finished, ``ended`` is False,
    and no later job of the key may run. ``earlier``: ends of the previous run that are perhaps not
    stored yet; nothing that the jobs of this run write may be stored before these ends.
    """

    __slots__ = ("earlier", "ended", "next")

    def __init__(self, jobs: Iterable[ClaimedJob]) -> None:
        super().__init__(jobs)
        self.earlier: Sequence[tuple[ClaimedJob, Finish]] = ()
        self.next: KeyRun | None = None
        self.ended: Sequence[tuple[ClaimedJob, Finish]] | Literal[False] | None = None

    @property
    def partition_id(self) -> int:
        """The partition of the key."""
        number = self[0].partition_id
        assert number is not None
        return number

    def end(self, ends: Sequence[Finish]) -> None:
        """Record the ends of the jobs that have run; other jobs of the run may have no end."""
        finished = len(ends) == len(self) and all(end.state in FINISHED for end in ends)
        pairs = zip(self, ends, strict=False)
        self.ended = finished and [(job, end) for job, end in pairs if not end.stored]


def ends_before(run: Run) -> Sequence[tuple[ClaimedJob, Finish]]:
    """Return the ends of the previous run that are perhaps not stored yet.

    They must be stored before anything that the jobs of this run write.
    """
    return run.earlier if isinstance(run, KeyRun) else ()
