"""When a process reports progress, and when a part of it does not."""

from __future__ import annotations

import threading
import time

import pytest
from rolehost.api import actor
from rolehost.roles.consumer.group import GroupProgress
from rolehost.roles.worker.role import WorkerRole

pytestmark = [pytest.mark.needs("rolehost_embedded"), pytest.mark.needs("dramatiq")]

ONE_THREAD = "[worker]\nthreads = 1"


class Heard:
    """Stands for the beats of a process."""

    every = 10.0

    def __init__(self) -> None:
        self.parts: list[str] = []

    def beat(self, part: str) -> None:
        self.parts.append(part.partition(" (")[0])


def looked(role: WorkerRole) -> list[str]:
    heard = Heard()
    role._beats = heard
    role.report_progress()
    return heard.parts


@pytest.mark.parametrize(("limit", "late"), [(0.001, True), (600.0, False)])
def test_threads_that_are_all_past_their_time_limit_do_not_beat_while_work_waits(
    host, limit: float, late: bool
) -> None:
    begun, over = threading.Event(), threading.Event()

    @actor(name="holds", time_limit=limit)
    def holds(job) -> None:
        begun.set()
        over.wait()

    here = host([holds], settings=ONE_THREAD)
    role = here.start(WorkerRole, "worker")
    # Simulates C code, which the limit cannot interrupt.
    role._limits.middleware.manager.add_timeout = lambda thread, limit: None
    here.services.enqueue(holds)
    try:
        assert begun.wait(20)
        if late:
            # All that follows may take less than the limit.
            time.sleep(2 * limit)
        # No job waits, so a thread past its limit delays none.
        assert looked(role) == ["worker threads"] * 2
        here.services.enqueue(holds)
        assert looked(role) == ["worker threads"] * (1 if late else 2)
    finally:
        over.set()


def test_a_group_that_settles_makes_progress_and_one_whose_lag_stays_does_not() -> None:
    progress = GroupProgress()
    progress.polled = 3
    assert progress.update_settled(3, now=1.0)
    assert not progress.update_settled(3, now=2.0)
    assert progress.settled_at == 1.0
    assert [progress.lag_unchanged(lag) for lag in (0, 5, 7, 7, 6, 0)] == [
        False, False, False, True, False, False,
    ]  # fmt: skip
