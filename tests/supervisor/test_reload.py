"""Reloads of real supervisors."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from rolehost.roles.backoff import Backoff
from rolehost.supervisor.plan import RolePlan

from tests.supervisor.supervised import Supervised, planned, supervised

pytestmark = pytest.mark.processes

HTTP = RolePlan("http", 1, grace=5.0)
WORKER = RolePlan("worker", 1, grace=5.0)
WORKERS = RolePlan("worker", 2, grace=5.0)
CONSUMER = RolePlan("consumer", 1, grace=5.0)

NEW = {"deployment": "new"}
PROBLEM = {
    "code": "unknown-plugin",
    "who": "deployment",
    "where": "x.toml:1",
    "what": "no distribution brings it",
    "expected": "one that is installed",
    "got": "opps",
    "fix": "did you mean ops?",
}


def ready(running: Supervised) -> dict[str, int]:
    """Wait until all is ready; return the processes by slot."""
    running.until("rolehost is ready")
    return running.pids()


def events(running: Supervised, *wanted: str) -> list[tuple[str, str]]:
    """Return the events of the role processes, with their names."""
    return [
        (line["event"], line["child"])
        for line in running.seen
        if "child" in line and line["event"] in wanted
    ]


def restarted(running: Supervised, name: str, pid: int) -> dict[str, Any]:
    """Kill a process; return the first line of its successor."""
    os.kill(pid, signal.SIGKILL)
    return running.until(lambda line: line["event"] == "runs" and line["child"] == name)


def test_each_new_process_is_ready_before_the_old_one_stops() -> None:
    with supervised(HTTP, WORKERS) as running:
        old = ready(running)
        running.seen.clear()
        result = running.reload(planned(HTTP, WORKERS), behave=NEW)
        running.until("reload: reloaded")
        assert (result["outcome"], result["status"], result["replaced"]) == ("reloaded", 0, 3)
        assert events(running, "runs", "reported to stop") == [
            ("runs", "worker.0"),
            ("reported to stop", "worker.0"),
            ("runs", "worker.1"),
            ("reported to stop", "worker.1"),
            ("runs", "http.0"),
            ("reported to stop", "http.0"),
        ]
        stopped = [line for line in running.seen if line["event"] == "reported to stop"]
        assert {line["child"]: line["pid"] for line in stopped} == old
        assert [line["signal"] for line in stopped] == ["SIGTERM", "SIGTERM", "SIGUSR1"]
        begun = [line for line in running.seen if line["event"] == "runs"]
        assert all(line["replaces"] and line["deployment"] == "new" for line in begun)
        assert all(line["incarnation"] == 2 for line in begun)


def test_progress_is_reported() -> None:
    with supervised(HTTP, WORKER) as running:
        ready(running)
        running.offer(planned(HTTP, WORKER))
        asked = running.ask()
        assert asked.first() == {"accepted": "test", "of": 2}
        assert asked.first() == {"done": 1, "of": 2, "process": "worker.0"}
        assert asked.first() == {"done": 2, "of": 2, "process": "http.0"}
        assert asked.result()["status"] == 0


def test_a_process_that_dies_after_a_reload_is_started_from_the_deployment_that_was_accepted() -> (
    None
):
    with supervised(WORKER) as running:
        ready(running)
        running.reload(planned(WORKER), behave=NEW)
        again = restarted(running, "worker.0", running.until("worker.0 is ready")["pid"])
        assert (again["deployment"], again["incarnation"]) == ("new", 3)
        assert not again["replaces"]


def test_a_deployment_with_errors_changes_nothing() -> None:
    with supervised(HTTP, WORKER) as running:
        old = ready(running)
        result = running.reload(status=3, problems=[PROBLEM], behave=NEW)
        assert (result["outcome"], result["status"]) == ("refused", 3)
        assert result["problems"] == [PROBLEM]
        assert running.until(PROBLEM["what"])["fix"] == PROBLEM["fix"]
        again = restarted(running, "worker.0", old["worker.0"])
        assert (again["deployment"], again["incarnation"]) == ("", 2)
        running.until("worker.0 is ready")
        running.term()
        ended = {line["pid"] for line in running.rest() if line["event"] == "ended"}
        assert ended == {old["http.0"], again["pid"]}
        assert running.status() == 0


def test_a_process_that_cannot_start_rolls_back_the_processes_before_it() -> None:
    behave = {**NEW, "http.0": {"says": ["failed no such thing"], "exits": {"status": 4}}}
    with supervised(HTTP, WORKER) as running:
        old = ready(running)
        running.seen.clear()
        result = running.reload(planned(HTTP, WORKER), behave=behave)
        assert (result["outcome"], result["status"]) == ("rolled back", 1)
        assert result["message"].startswith("http.0 no such thing; the old deployment runs again")
        running.until("reload: rolled back")
        assert events(running, "runs", "reported to stop") == [
            ("runs", "worker.0"),
            ("reported to stop", "worker.0"),
            ("runs", "http.0"),
            ("runs", "worker.0"),
            ("reported to stop", "worker.0"),
        ]
        begun = [line["deployment"] for line in running.seen if line["event"] == "runs"]
        assert begun == ["new", "new", ""]
        assert restarted(running, "http.0", old["http.0"])["deployment"] == ""


def test_a_process_that_is_never_ready_is_killed_and_nothing_changes() -> None:
    behave = {**NEW, "worker.0": {"silent": True, "says": ["waiting"]}}
    with supervised(WORKER) as running:
        old = ready(running)
        result = running.reload(planned(WORKER, start_timeout=0.3), behave=behave)
        assert result["message"].startswith("worker.0 was not ready in 0.3 s")
        running.term()
        assert old["worker.0"] in {
            line["pid"] for line in running.rest() if line["event"] == "ended"
        }
        assert running.status() == 0


def test_a_process_that_dies_in_a_rollback_is_restarted_until_it_lives() -> None:
    behave = {"worker.0": {"exits": {"in": [3, 4], "status": 1}}}
    with supervised(HTTP, WORKER, behave=behave) as running:
        ready(running)
        new = {**NEW, "http.0": {"exits": {"status": 4}}}
        assert running.reload(planned(HTTP, WORKER), behave=new)["outcome"] == "rolled back"
        running.until("worker.0 exited with status 1; restarting in")
        assert running.until("worker.0 is ready")["pid"]
        running.term()
        running.rest()
        assert running.status() == 0


def test_roles_and_processes_come_and_go() -> None:
    with supervised(HTTP, WORKERS) as running:
        old = ready(running)
        result = running.reload(planned(HTTP, WORKER, CONSUMER), behave=NEW)
        assert (result["replaced"], result["roles"]) == (4, ["http", "worker", "consumer"])
        running.until("reload: reloaded")
        last = [line for line in running.seen if line["event"] == "ended"][-1]
        assert (last["child"], last["pid"]) == ("worker.1", old["worker.1"])
        running.term()
        ended = [line["child"] for line in running.rest() if line["event"] == "ended"]
        assert ended == ["http.0", "consumer.0", "worker.0"]


def test_a_rollback_stops_the_roles_of_the_new_deployment() -> None:
    behave = {**NEW, "http.0": {"exits": {"status": 4}}}
    with supervised(HTTP, WORKERS) as running:
        ready(running)
        running.reload(planned(HTTP, WORKER, CONSUMER), behave=behave)
        running.until("reload: rolled back")
        running.term()
        ended = [line["child"] for line in running.rest() if line["event"] == "ended"]
        assert sorted(ended) == ["http.0", "worker.0", "worker.1"]


def test_a_second_reload_is_refused_while_one_runs() -> None:
    with supervised(WORKER) as running:
        ready(running)
        running.offer(planned(WORKER), hangs=True)
        first = running.ask()
        running.until("checks")
        result = running.ask().result()
        assert (result["status"], result["message"]) == (1, "another reload is running")
        first.found.close()


def test_a_check_that_does_not_end_is_killed() -> None:
    with supervised(WORKER, start_timeout=1.0) as running:
        ready(running)
        result = running.reload(planned(WORKER), hangs=True)
        assert (result["outcome"], result["status"]) == ("refused", 1)
        assert "without an answer" in result["message"]
        assert running.reload(planned(WORKER))["outcome"] == "reloaded"


def test_a_check_without_an_answer_changes_nothing() -> None:
    with supervised(WORKER) as running:
        ready(running)
        result = running.reload(silent=True)
        assert (result["outcome"], result["status"]) == ("refused", 1)


def test_sighup_reloads_and_one_during_a_reload_is_remembered() -> None:
    with supervised(WORKER) as running:
        ready(running)
        running.offer(planned(WORKER), behave={**NEW, "worker.0": {"silent": True}})
        running.process.send_signal(signal.SIGHUP)
        came = running.until(lambda line: line.get("deployment") == "new" and "child" in line)
        running.offer(planned(WORKER), behave=NEW)
        running.process.send_signal(signal.SIGHUP)
        os.kill(came["pid"], signal.SIGKILL)
        running.until("reload: rolled back")
        running.until("reload: reloaded")


def test_everything_drains_when_it_is_stopped_during_a_reload() -> None:
    behave = {**NEW, "http.0": {"silent": True}}
    with supervised(HTTP, WORKER) as running:
        old = ready(running)
        running.offer(planned(HTTP, WORKER), behave=behave)
        asked = running.ask()
        running.until(lambda line: line["event"] == "runs" and line["child"] == "http.0")
        new = running.pids()
        running.term()
        assert asked.result()["message"] == "the supervisor was stopped"
        ended = {line["pid"] for line in running.rest() if line["event"] == "ended"}
        assert ended == {old["http.0"], new["worker.0"]}
        assert running.status() == 0


def test_it_can_be_stopped_while_it_checks() -> None:
    with supervised(WORKER) as running:
        ready(running)
        running.offer(planned(WORKER), hangs=True)
        asked = running.ask()
        running.until("checks")
        running.term()
        assert asked.result()["status"] == 1
        running.rest()
        assert running.status() == 0


def test_post_migrations_are_applied_after_the_older_processes() -> None:
    with supervised(WORKER) as running:
        ready(running)
        result = running.reload(
            planned(WORKER),
            post_pending=True,
            running=["worker.0.1-5-ab"],
            migrated=["pre"],
            after={},
        )
        assert result["migrated"] == ["pre", "post after ['worker.0.1-5-ab']"]
        running.until("reload: reloaded")
        said = [line["event"] for line in running.seen]
        assert said.index("ended") < len(said) - 1 - said[::-1].index("checks")


def test_post_migrations_that_fail_are_reported() -> None:
    with supervised(WORKER) as running:
        ready(running)
        after = {"status": 4, "message": "the database is away"}
        result = running.reload(planned(WORKER), post_pending=True, running=[], after=after)
        assert result["status"] == 0
        assert result["message"].endswith("were not applied: the database is away")


def test_it_can_be_stopped_during_post_migrations(
    listeners: list[socket.socket],
) -> None:
    first, second = listeners
    later = name_of(second)
    with supervised(HTTP, bind=name_of(first), listener=first.fileno()) as running:
        ready(running)
        first.close()
        second.close()
        after = {"post_pending": True, "running": [], "after": {"hangs": True}}
        running.offer(planned(HTTP, bind=later), **after)
        asked = running.ask()
        running.until("http.0 exited")
        running.until("checks")
        running.term()
        assert asked.result()["message"] == "the supervisor was stopped"
        running.rest()
        assert running.status() == 0


def test_given_roles_and_arguments_apply_to_the_new_deployment() -> None:
    given = ("--deployment", "x.toml", "--plugins", "a,b", "--migrate")
    with supervised(WORKER, arguments=given, only=("worker",)) as running:
        ready(running)
        running.reload(planned(WORKER))
        assert running.until("checks")["arguments"] == [*given[:4], "--only", "worker"]


@pytest.fixture
def listeners() -> Any:
    """Two addresses, each with a listener."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield made
    for each in made:
        each.close()


def name_of(listener: socket.socket) -> str:
    return "{}:{}".format(*listener.getsockname())


def test_the_listener_is_handed_on(listeners: list[socket.socket]) -> None:
    first, _ = listeners
    bind = name_of(first)
    with supervised(HTTP, WORKER, bind=bind, listener=first.fileno()) as running:
        ready(running)
        first.close()
        running.reload(planned(HTTP, WORKER, bind=bind), behave=NEW)
        running.until("reload: reloaded")
        addresses = [
            (line["child"], line["address"] and "{}:{}".format(*line["address"]))
            for line in running.seen
            if line["event"] == "runs"
        ]
        assert sorted(addresses, key=str) == [("http.0", bind)] * 2 + [("worker.0", None)] * 2


def test_a_new_address_is_served_before_the_previous_one_is_closed(
    listeners: list[socket.socket],
) -> None:
    first, second = listeners
    former, later = name_of(first), name_of(second)
    with supervised(HTTP, bind=former, listener=first.fileno()) as running:
        ready(running)
        first.close()
        second.close()
        assert running.reload(planned(HTTP, bind=later), behave=NEW)["status"] == 0
        came = running.until(lambda line: line.get("deployment") == "new" and "child" in line)
        assert "{}:{}".format(*came["address"]) == later
        socket.create_connection(tuple(came["address"])).close()
        with pytest.raises(ConnectionRefusedError):
            host, _, port = former.partition(":")
            socket.create_connection((host, int(port)))


def test_an_address_that_cannot_be_bound_changes_nothing(listeners: list[socket.socket]) -> None:
    first, second = listeners
    bind = name_of(first)
    with supervised(HTTP, bind=bind, listener=first.fileno()) as running:
        ready(running)
        result = running.reload(planned(HTTP, bind=name_of(second)))
        assert (result["outcome"], result["status"]) == ("refused", 4)
        assert f"cannot listen on {name_of(second)}: the address is in use" in result["message"]
        assert f"the old address {bind} stays in use until the end" in result["message"]


def test_the_role_that_listens_can_come_and_go(listeners: list[socket.socket]) -> None:
    free, _ = listeners
    bind = name_of(free)
    free.close()
    with supervised(WORKER) as running:
        ready(running)
        assert running.reload(planned(HTTP, WORKER, bind=bind))["status"] == 0
        socket.create_connection(free_address(bind)).close()
        assert running.reload(planned(WORKER))["status"] == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(free_address(bind))


def free_address(bind: str) -> tuple[str, int]:
    host, _, port = bind.partition(":")
    return host, int(port)


def test_only_its_user_may_connect_and_no_socket_is_left_behind() -> None:
    with supervised(WORKER, path="/srv/x.toml") as running:
        ready(running)
        assert stat.S_IMODE(running.control.stat().st_mode) == 0o600
        assert stat.S_IMODE(running.control.parent.stat().st_mode) == 0o700
        running.offer(planned(WORKER))
        asked = running.ask()
        found = asked.found
        assert (found.pid, found.path) == (running.process.pid, "/srv/x.toml")
        asked.result()
        running.term()
        running.rest()
        assert not running.control.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reloads_leave_nothing_open(listeners: list[socket.socket]) -> None:
    first, second = listeners
    binds = [name_of(first), name_of(second)]
    second.close()
    with supervised(HTTP, bind=binds[0], listener=first.fileno()) as running:
        ready(running)
        first.close()
        opened = []
        for bind in (binds[1], binds[0], binds[1]):
            running.reload(status=3, problems=[PROBLEM])
            running.reload(planned(HTTP, bind=bind), behave={"http.0": {"exits": {"status": 1}}})
            assert running.reload(planned(HTTP, bind=bind))["status"] == 0
            opened.append(len(list(Path(f"/proc/{running.process.pid}/fd").iterdir())))
        assert opened[1:] == opened[:-1]


def test_a_client_that_disconnects_does_not_end_the_reload() -> None:
    with supervised(WORKER) as running:
        ready(running)
        running.offer(planned(WORKER))
        running.ask().found.close()
        running.until("reload: reloaded")


def test_a_ready_process_that_is_killed_repeatedly_is_restarted_soon() -> None:
    with supervised(WORKER, backoff=Backoff(0.01, 30.0, stable=0.02)) as running:
        ready(running)
        for _ in range(8):
            os.kill(running.pids()["worker.0"], signal.SIGKILL)
            died = running.until("worker.0 was killed")
            assert float(died["event"].split()[-2]) <= 0.02
            running.until("worker.0 is ready")
