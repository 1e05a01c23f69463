"""Failpoints: named, armed by tests and by the environment, never by accident."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rolehost
from rolehost import failpoints
from rolehost.cli.main import invoke

from tests.host.installed import write_plugin

SOURCES = Path(rolehost.__file__).parent

PLUGIN = """
import os
import signal

from rolehost.api import PluginInfo, Unique, actor, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, enqueues=("once",))


@actor(name="once")
def once(job):
    # Enough: the process drains and ends well.
    os.kill(os.getpid(), signal.SIGTERM)


@hookimpl
def rolehost_actors():
    return [once]


@hookimpl
def rolehost_start(context):
    context.services.enqueue(once, unique=Unique("once", until="ended"))
"""


CONSUMER = """
from rolehost.api import Event, PluginInfo, actor, handler, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, enqueues=("effect",), publishes=("news",))


@actor(name="effect")
def effect(job):
    pass


@handler(topic="news", group="readers", payload=int)
def read(context, event):
    context.services.enqueue(effect)


@hookimpl
def rolehost_actors():
    return [effect]


@hookimpl
def rolehost_handlers():
    return [read]


@hookimpl
def rolehost_start(context):
    context.services.publish(Event(topic="news", type="n", data=1, id="one", source="/s"))
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


class Reached(Exception):
    pass


def fail(name: str) -> None:
    raise Reached(name)


def test_every_point_that_is_named_is_reached_somewhere_and_no_other_one():
    reached = [
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r'failpoints\.reach\("([^"]+)"\)', path.read_text("utf-8"))
    ]
    assert set(reached) == set(failpoints.NAMES)


def test_points_are_not_looked_up_while_nothing_is_armed():
    failpoints.reach("no such point")


def test_a_point_does_what_is_armed_there_until_it_is_disarmed():
    disarm = failpoints.arm("work.before_commit", fail)
    failpoints.reach("work.after_commit")
    with pytest.raises(Reached, match=r"work\.before_commit"):
        failpoints.reach("work.before_commit")
    disarm()
    disarm()
    failpoints.reach("work.before_commit")
    assert failpoints.armed == {}


def test_several_failures_at_one_point_are_disarmed_separately():
    came: list[int] = []
    first = failpoints.arm("work.before_commit", lambda _: came.append(1))
    failpoints.arm("work.before_commit", lambda _: came.append(2))
    failpoints.reach("work.before_commit")
    first()
    failpoints.reach("work.before_commit")
    assert came == [1, 2, 2]


def test_a_word_raises_an_error_like_any_other():
    failpoints.arm("work.before_commit", "raise")
    with pytest.raises(failpoints.Injected, match=r"work\.before_commit"):
        failpoints.reach("work.before_commit")


def test_a_crash_is_not_caught_by_except_exception():
    assert not issubclass(failpoints.Crash, Exception)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("work.before_comit:kill", 'did you mean "work.before_commit"?'),
        ("work.before_commit:kil", 'did you mean "kill"?'),
        ("work.before_commit", "POINT:ACTION"),
        ("work.before_commit:kill@2", "probability"),
        ("work.before_commit:kill@often", "probability"),
        ("work.before_commit:delay=long", "delay=0.5"),
    ],
)
def test_an_unknown_point_is_refused_with_a_suggestion_and_nothing_is_armed(
    text: str, reported: str
):
    with pytest.raises(failpoints.UnknownFailpoint, match=re.escape(reported)):
        failpoints.arm_from(f"work.after_commit:raise,{text}")
    assert failpoints.armed == {}


def test_a_list_arms_several_with_their_chances():
    failpoints.arm_from("work.before_commit:raise@0.5, relay.after_send:delay=0 ,")
    assert {name: [each.probability for each in found] for name, found in failpoints.armed.items()}
    assert failpoints.armed["work.before_commit"][0].probability == 0.5
    failpoints.reach("relay.after_send")


def test_a_point_with_a_chance_fails_sometimes():
    came: list[str] = []
    failpoints.arm("work.before_commit", came.append, probability=0.5)
    for _ in range(1000):
        failpoints.reach("work.before_commit")
    assert 0 < len(came) < 1000


class Deployed:
    """A worker of one job, in a separate process."""

    def __init__(self, folder: Path, plugin: str = PLUGIN, role: str = "worker") -> None:
        self.folder = folder
        self.role = role
        write_plugin(folder, "dying", plugin)
        (folder / "rolehost.toml").write_text(
            'plugins = ["embedded", "dying"]\n[embedded]\npath = "service.db"\n'
            # So that the partitions of a killed member are soon another's.
            "member_lease = 2.0\n"
        )

    def work(self, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "rolehost.roles", "--role", self.role, "--migrate"),
                *("--deployment", "rolehost.toml"),
            ],
            cwd=self.folder,
            env={
                "PATH": "",
                "PYTHONPATH": str(self.folder),
                "XDG_RUNTIME_DIR": str(self.folder),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    def jobs(self) -> list[tuple[str, int]]:
        database = sqlite3.connect(self.folder / "service.db")
        try:
            return database.execute("SELECT state, attempt FROM rolehost_jobs").fetchall()
        finally:
            database.close()


@pytest.fixture
def deployed(tmp_path: Path) -> Deployed:
    pytest.importorskip("rolehost_embedded")
    return Deployed(tmp_path)


@pytest.mark.processes
@pytest.mark.needs("rolehost_embedded")
def test_a_process_is_killed_at_the_point_of_its_environment_and_its_successor_continues(
    deployed: Deployed,
):
    status, said = deployed.work(ROLEHOST_FAIL="ledger.after_claim:kill")
    assert status == -signal.SIGKILL, said
    assert "failpoints are armed" in said
    assert deployed.jobs() == [("claimed", 0)]
    status, said = deployed.work()
    assert (status, deployed.jobs()) == (0, [("completed", 1)]), said


@pytest.mark.processes
@pytest.mark.needs("rolehost_embedded")
@pytest.mark.parametrize(
    "point", ["relay.after_send", "inbox.after_mark", "consumer.before_offsets"]
)
def test_an_event_takes_effect_once_wherever_its_consumer_is_killed(tmp_path: Path, point: str):
    pytest.importorskip("rolehost_embedded")
    deployed = Deployed(tmp_path, CONSUMER, "consumer")
    for where in (point, "consumer.after_offsets"):
        status, said = deployed.work(ROLEHOST_FAIL=f"{where}:kill")
        assert status == -signal.SIGKILL, said
    assert deployed.jobs() == [("available", 0)]


@pytest.mark.processes
@pytest.mark.needs("rolehost_embedded")
@pytest.mark.parametrize(
    ("environment", "code", "reported"),
    [
        ({"ROLEHOST__DEPLOYMENT__ENVIRONMENT": "production"}, "failpoints-in-production", "unset"),
        ({"ROLEHOST_FAIL": "ledger.after_clame:kill"}, "failpoint:", "ledger.after_claim"),
    ],
)
def test_a_process_refuses_failpoints_in_production_and_ones_that_it_does_not_know(
    deployed: Deployed, environment: dict[str, str], code: str, reported: str
):
    status, said = deployed.work(**{"ROLEHOST_FAIL": "ledger.after_claim:kill", **environment})
    assert (status, code in said, reported in said) == (3, True, True), said


def test_the_command_lists_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["failpoints", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["point"]: row["what has happened"] for row in rows} == dict(failpoints.NAMES)
