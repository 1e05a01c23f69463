"""Real supervisors with real children."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rolehost.roles.backoff import Backoff
from rolehost.supervisor.plan import ProcessPlan, RolePlan

from tests.http.compositions import compose
from tests.supervisor.supervised import supervised

pytestmark = pytest.mark.processes

HTTP = RolePlan("http", 1, grace=5.0)
WORKERS = RolePlan("worker", 2, grace=5.0)
CONSUMER = RolePlan("consumer", 1, grace=5.0)
SCHEDULER = RolePlan("scheduler", 1, grace=5.0)


def wait_for_death(*pids: int) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor):
            assert select.select([descriptor], [], [], 30)[0], f"{pid} lives"


def test_it_logs_once_when_every_process_is_ready() -> None:
    with supervised(HTTP, WORKERS) as running:
        assert running.until("rolehost is ready")["event"].startswith(
            "rolehost is ready: http worker in "
        )
        assert set(running.pids()) == {"http.0", "worker.0", "worker.1"}


def test_a_killed_child_is_started_again_and_the_others_keep_running() -> None:
    with supervised(HTTP, WORKERS) as running:
        running.until("rolehost is ready")
        before = running.pids()
        os.kill(before["worker.1"], signal.SIGKILL)
        died = running.until("worker.1 was killed by SIGKILL")
        again = running.until("runs")
        assert died["pid"] == before["worker.1"]
        assert (again["child"], again["incarnation"]) == ("worker.1", 2)
        running.until("worker.1 is ready")
        running.term()
        ended = {line["pid"] for line in running.rest() if line["event"] == "ended"}
        assert ended == {before["http.0"], before["worker.0"], again["pid"]}
        assert running.status() == 0, "\n".join(map(str, running.seen))


def test_the_delay_doubles_with_each_death_in_a_row_up_to_its_bound() -> None:
    behave = {"worker.0": {"exits": {"in": [1, 2, 3, 4, 5], "status": 1}}}
    with supervised(RolePlan("worker", 1), behave=behave, backoff=Backoff(0.01, 0.05)) as running:
        running.until("rolehost is ready")
        delays = [
            line["event"].rsplit(" ", 2)[1]
            for line in running.seen
            if "restarting in" in line["event"]
        ]
        assert delays == ["0.01", "0.02", "0.04", "0.05", "0.05"]


def test_a_process_that_was_stable_starts_again_with_the_first_delay() -> None:
    with supervised(RolePlan("worker", 1), backoff=Backoff(0.01, stable=0.000001)) as running:
        running.until("rolehost is ready")
        for _ in range(3):
            os.kill(running.pids()["worker.0"], signal.SIGKILL)
            assert running.until("worker.0 was killed")["event"].endswith("restarting in 0.01 s")
            running.until("worker.0 is ready")


def test_kinds_of_process_are_drained_one_after_the_other() -> None:
    with supervised(WORKERS, CONSUMER, SCHEDULER, HTTP) as running:
        running.until("rolehost is ready")
        running.term()
        events = [
            (line["event"], line["child"].partition(".")[0])
            for line in running.rest()
            if line["event"] in ("reported to stop", "ended")
        ]
        kinds = [kind for _, kind in events]
        assert kinds == ["http"] * 2 + ["scheduler"] * 2 + ["consumer"] * 2 + ["worker"] * 4, events
        assert running.status() == 0, "\n".join(map(str, running.seen))


def test_a_process_that_does_not_stop_within_its_grace_is_killed_and_the_rest_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with supervised(HTTP, WORKERS, behave={"http.0": {"stubborn": True}}, grace=0.3) as running:
        running.until("rolehost is ready")
        running.term()
        running.until("http.0 did not stop in time")
        running.rest()
        assert running.status() == 1


def test_a_second_signal_ends_everything_at_once() -> None:
    behave = {"http.0": {"stubborn": True}, "worker.0": {"stubborn": True}}
    with supervised(HTTP, WORKERS, behave=behave) as running:
        running.until("rolehost is ready")
        pids = running.pids()
        running.term()
        running.until("reported to stop")
        # Not SIGINT: background processes of a shell ignore it.
        running.term()
        running.until("SIGTERM again: killing the remaining processes")
        running.rest()
        assert running.status() == 1
        wait_for_death(*pids.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of it")
def test_children_end_when_the_supervisor_is_killed() -> None:
    with supervised(HTTP, WORKERS) as running:
        running.until("rolehost is ready")
        running.process.kill()
        assert sum(line["event"] == "ended" for line in running.rest()) == 3
        wait_for_death(*running.pids().values())


@pytest.mark.parametrize("status", [2, 3, 4])
def test_a_first_start_that_cannot_succeed_stops_everything_with_its_status(status: int) -> None:
    behave = {"http.0": {"exits": {"status": status}}}
    with supervised(WORKERS, HTTP, behave=behave) as running:
        running.rest()
        assert running.status() == status
        assert not any("restarting in" in line["event"] for line in running.seen)
        wait_for_death(*running.pids().values())


def test_the_reason_why_several_cannot_start_is_logged_once() -> None:
    behaves = {"says": ["failed redis: wrong password"], "exits": {"status": 3}}
    with supervised(WORKERS, behave={"worker.0": behaves, "worker.1": behaves}) as running:
        running.rest()
        assert running.status() == 3
        reported = [line for line in running.seen if "wrong password" in line["event"]]
        assert [line["event"] for line in reported] == [
            "worker cannot start: redis: wrong password"
        ], running.seen
        assert not [line for line in running.seen if line.get("level") == "warning"]


def test_a_process_that_waits_for_a_backend_has_no_time_limit() -> None:
    behave = {
        "worker.0": {"silent": True, "says": ["waiting"]},
        "http.0": {"silent": True},
    }
    with supervised(
        HTTP, RolePlan("worker", 1), behave=behave, start_timeout=1.0, backoff=Backoff(0.3)
    ) as running:
        for _ in range(2):
            running.until("http.0 was not ready in 1 s: killing it")
        assert not [line for line in running.seen if "worker.0 was" in line["event"]]


def test_a_later_start_that_cannot_succeed_is_tried_again() -> None:
    behave = {"http.0": {"exits": {"in": [2, 3], "status": 4}}}
    with supervised(HTTP, behave=behave) as running:
        running.until("rolehost is ready")
        os.kill(running.pids()["http.0"], signal.SIGKILL)
        running.until("http.0 exited with status 4; restarting in 0.02 s")
        running.until("http.0 exited with status 4; restarting in 0.04 s")
        running.until("http.0 is ready")


def test_a_child_that_never_gets_ready_is_killed_and_started_again() -> None:
    with supervised(
        HTTP, RolePlan("worker", 1), behave={"worker.0": {"silent": True}}, start_timeout=2.0
    ) as running:
        running.until("worker.0 was not ready in 2 s: killing it")
        running.until("worker.0 was killed by SIGKILL; restarting in")
        again = running.until(lambda line: line.get("incarnation") == 2 and "child" in line)
        assert again["child"] == "worker.0"
        assert not any(line["event"].startswith("rolehost is ready") for line in running.seen)


def test_a_program_that_cannot_be_executed_is_one_clear_line() -> None:
    with supervised(HTTP, command=("/nowhere/python",)) as running:
        running.until("cannot execute /nowhere/python: No such file or directory")
        running.rest()
        assert running.status() == 127


def test_children_lead_process_groups_of_their_own() -> None:
    with supervised(HTTP) as running:
        line = running.until("runs")
        assert line["group"] == line["pid"]


def test_nothing_but_the_standard_library_is_imported() -> None:
    code = "import sys; before = set(sys.modules); import rolehost.supervisor.__main__;"
    shown = subprocess.run(
        [sys.executable, "-c", f"{code} print(*set(sys.modules) - before)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tops = {name.partition(".")[0] for name in shown}
    assert tops - sys.stdlib_module_names == {"rolehost"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_supervisor_stays_small() -> None:
    with supervised(HTTP, WORKERS) as running:
        running.until("rolehost is ready")
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        (resident,) = (line.split()[1] for line in status.splitlines() if "VmRSS" in line)
        assert int(resident) < 20_000


def test_a_plan_survives_its_way_through_the_environment() -> None:
    plan = ProcessPlan(
        name="x", roles=(HTTP, WORKERS), arguments=("--plugins", "a,b"), backoff=Backoff(0.5)
    )
    assert ProcessPlan.from_json(plan.to_json()) == plan


def test_a_composition_makes_a_plan() -> None:
    composition = compose(processes=4, grace=7.0, shutdown_delay=2.0)
    plan = ProcessPlan.of(composition, ["--plugins", "a"])
    assert plan.roles == (RolePlan("http", 1, 9.0),)
    assert (plan.name, plan.arguments, plan.log_format) == ("test", ("--plugins", "a"), "json")
    assert ProcessPlan.of(composition, only=["worker"]).roles == ()
