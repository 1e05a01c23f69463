"""The command rolehost schedules, and how soon the scheduler follows it."""

from __future__ import annotations

import json
import sys

import pytest
from rolehost import schema
from rolehost.cli.main import invoke
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.process import Process
from rolehost.roles.scheduler import SchedulerRole
from rolehost.services import ProcessServices

pytestmark = pytest.mark.needs("rolehost_embedded")

PLUGIN = """\
from rolehost.api import PluginInfo, Schedule, actor, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2)


@actor(name="tidy")
def tidy(job, depth: int):
    return None


@hookimpl
def rolehost_actors():
    return [tidy]


@hookimpl
def rolehost_schedules():
    return [
        Schedule(name="nightly", actor=tidy, arguments={"depth": 1}, cron="0 3 * * *",
                 timezone="Europe/Vienna", overlap="skip"),
    ]
"""


class Fleet:
    """A deployment with one schedule, and its command line."""

    def __init__(self, path, capsys):
        self.path = path
        self.capsys = capsys
        self.composition = compose(load(path, environ={}))
        self.services = ProcessServices(self.composition, role="command")

    def run(self, *arguments):
        status = invoke(["schedules", *arguments, "-d", str(self.path)])
        return status, *self.capsys.readouterr()

    def row(self):
        status, out, _ = self.run("--json")
        assert status == 0
        (row,) = json.loads(out)
        return row

    def jobs(self):
        with self.services.database.session():
            return self.services.database.read("SELECT count(*) FROM rolehost_jobs")[0][0]


@pytest.fixture
def fleet(tmp_path, monkeypatch, capsys):
    (tmp_path / "nightly_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "nightly-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nightly\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[rolehost]\nnightly = nightly_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nightly_plugin", raising=False)
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["embedded", "nightly"]\n[embedded]\npath = "service.db"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    made = Fleet(path, capsys)
    schema.up(made.services.database, [schema.HOST_SET])
    yield made
    made.services.close()


def test_a_listing_shows_the_next_tick_and_the_policies(fleet):
    row = fleet.row()
    assert (row["name"], row["when"]) == ("nightly", "0 3 * * * Europe/Vienna")
    assert (row["missed"], row["overlap"], row["last"], row["job"]) == ("once", "skip", None, None)
    assert row["next"].endswith((":00:00Z", ":00:00.000Z"))


def test_a_schedule_is_paused_and_resumed(fleet):
    assert fleet.run("pause", "nightly") == (0, "nightly: paused\n", "")
    assert fleet.row()["next"] == "paused"
    assert fleet.run("resume", "nightly") == (0, "nightly: resumed\n", "")
    assert fleet.row()["next"] != "paused"


def test_a_schedule_runs_now_unless_its_job_has_not_finished(fleet):
    assert fleet.run("run", "nightly") == (0, "nightly: job 1\n", "")
    assert fleet.run("run", "nightly")[1] == "nightly: job 1 has not finished; no new job\n"
    assert fleet.jobs() == 1
    assert fleet.row()["job"] == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("pause", "nightl"), "did you mean"),
        (("set", "nightly"), "exactly one of cron and every"),
        (("set", "nightly", "--cron", "0 3 * * *", "--every", "5"), "exactly one"),
        (("set", "nightly", "--cron", "no"), "nightly"),
        (("set", "nightly", "--cron", "0 0 30 2 *"), "Bad day-of-month"),
        (("set", "nightly", "--every", "0"), "every"),
        (("set", "nightly", "--every", "60", "--timezone", "Mars/Olympus"), "Mars/Olympus"),
    ],
)
def test_wrong_changes_are_usage_errors_and_change_nothing(fleet, arguments, error):
    before = fleet.row()
    status, _, text = fleet.run(*arguments)
    assert status == 2
    assert error in text
    assert fleet.row()["when"] == before["when"]


def test_times_that_were_set_are_shown_until_they_are_reset(fleet):
    assert fleet.run("set", "nightly", "--cron", "5 4 * * *")[0] == 0
    assert fleet.row()["when"] == "5 4 * * * Europe/Vienna (set at run time)"
    assert fleet.run("reset", "nightly") == (0, "nightly: reset\n", "")
    assert fleet.row()["when"] == "0 3 * * * Europe/Vienna"


def test_the_scheduler_follows_a_change_within_a_second_or_so(fleet):
    process = Process(fleet.composition, role="scheduler")
    process.start()
    role = SchedulerRole(process)
    role.start()
    try:
        assert fleet.run("set", "nightly", "--every", "0.1")[0] == 0
        while not fleet.jobs():
            role.stopping.wait(0.02)  # the ledger has no event for it
    finally:
        role.stop()
        process.stop()
