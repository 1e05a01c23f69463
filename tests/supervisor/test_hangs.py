"""Processes that hang: found, logged and replaced."""

from __future__ import annotations

import os
import signal
import time

import pytest
from rolehost.observe.board import Board, Hang, SupervisorState
from rolehost.observe.progress import WHOLE_PROCESS, RunningClock, Watch
from rolehost.roles.status import STUCK
from rolehost.supervisor.child import Exit
from rolehost.supervisor.descriptors import anonymous_file
from rolehost.supervisor.parent import Supervisor
from rolehost.supervisor.plan import RolePlan

from tests.supervisor.supervised import Supervised, planned, supervised

HANG = 0.6
WORKER = RolePlan("worker", 1, grace=0.1)


def beating(**more: object) -> dict[str, dict[str, object]]:
    return {"worker.0": {"beats": [1, 2], "hang": HANG, **more}}


def freeze(running: Supervised, signum: int) -> int:
    running.until("rolehost is ready")
    pid = running.pids()["worker.0"]
    os.kill(pid, signum)
    return pid


@pytest.mark.processes
def test_a_process_that_stops_beating_is_logged_with_its_stacks_and_replaced() -> None:
    with supervised(WORKER, behave=beating(), hang=HANG) as running:
        pid = freeze(running, signal.SIGUSR1)
        hung = running.until(f"worker.0 (pid {pid}) hangs")
        assert hung["level"] == "error"
        assert hung["part"] == "the poll loop"
        assert hung["silent"] >= HANG
        assert "role_program.py" in hung["stacks"], hung
        assert running.until("reported to stop")["signal"] == "SIGTERM"
        assert running.until("runs")["incarnation"] == 2
        running.until("worker.0 is ready")
        running.term()
        assert running.status() == 0


@pytest.mark.processes
def test_a_stopped_process_is_killed_after_the_grace() -> None:
    with supervised(WORKER, behave=beating(), hang=HANG) as running:
        pid = freeze(running, signal.SIGSTOP)
        assert running.until(f"worker.0 (pid {pid}) hangs")["state"] == "stopped"
        running.until("worker.0 did not stop in time: killing it")
        assert running.until("worker.0 was killed by SIGKILL")["pid"] == pid
        running.until("worker.0 is ready")


def test_a_clock_stands_still_while_its_process_does() -> None:
    clock = RunningClock(1.0)
    assert clock.advance(100.0) == 0.0
    assert clock.advance(101.0) == 1.0
    assert clock.advance(10_000.0) == 3.0
    assert clock.advance(10_001.0) == 4.0


def test_the_part_that_is_silent_for_longest_is_named_unless_all_of_them_are() -> None:
    watch = Watch()
    assert watch.silent(5.0) is None
    watch.beat("poll", 0.0)
    watch.beat("main", 9.0)
    assert watch.silent(10.0) == ("poll", 10.0)
    assert watch.silent(30.0) == (WHOLE_PROCESS, 30.0)


def test_the_board_is_read_whole_even_if_a_notice_is_shorter_than_the_last() -> None:
    number = anonymous_file()
    board, seen = Board(number), Board(number)
    assert seen.read() == SupervisorState()
    hang = Hang("worker.0", 12, "the poll loop", 1.5, 60.0)
    board.write(SupervisorState((hang,), {"worker": {"hang": 1}}))
    assert seen.read() == SupervisorState((hang,), {"worker": {"hang": 1}})
    board.write(SupervisorState((), {}))
    assert seen.read() == SupervisorState((), {})
    os.pwrite(number, b"[[", 0)
    assert seen.read() == SupervisorState((), {})
    os.close(number)


def test_a_process_that_had_a_stuck_job_is_counted_apart_and_restarted_at_once() -> None:
    supervisor = Supervisor(planned(RolePlan("worker", 1, grace=5.0)))
    [slot] = supervisor._slots
    slot.ready, slot.started_at = True, time.monotonic() - 3.0
    for _ in range(100):
        supervisor._restart(slot, Exit(12, STUCK, ready=True))
        slot.started_at = time.monotonic() - 3.0
    assert slot.due is not None
    assert slot.due - time.monotonic() <= slot.plan.backoff.first
    board = Board(supervisor._plan.board)
    assert board.read().restarts == {"worker": {"stuck": 100}}
    os.close(supervisor._plan.board)
