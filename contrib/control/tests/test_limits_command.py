"""The command rolehost limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rolehost import schema
from rolehost.cli.main import invoke
from rolehost.composition import compose
from rolehost.delivery.claims import Claims
from rolehost.delivery.scopes import unit_of_work
from rolehost.deployment import load
from rolehost.services import ProcessServices

pytestmark = pytest.mark.needs("rolehost_embedded")

PLUGIN = """\
from rolehost.api import JobQueue, Limits, PluginInfo, actor, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2, enqueues=("deliver",))


@actor(
    name="deliver",
    queue=JobQueue("mail", Limits(concurrency=64)),
    limits=Limits(rate=50, burst=100),
    partition="endpoint",
)
def deliver(job, endpoint: str):
    return None


@hookimpl
def rolehost_actors():
    return [deliver]
"""


class Fleet:
    """A deployment with one limited actor, and its command line."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = invoke(["limits", *arguments, "-d", str(self.path)])
        return status, *self.capsys.readouterr()

    def rows(self) -> dict[str, dict[str, object]]:
        status, out, _ = self.run("--json")
        assert status == 0
        return {row.pop("name"): row for row in json.loads(out)}


@pytest.fixture
def fleet(tmp_path, monkeypatch, capsys) -> Fleet:
    (tmp_path / "limited_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "limited-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: limited\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[rolehost]\nlimited = limited_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "limited_plugin", raising=False)
    path = tmp_path / "rolehost.toml"
    path.write_text(
        'plugins = ["embedded", "limited"]\n[storage]\nqueue = "embedded"\n'
        '[actors."deliver"]\nconcurrency = 16\n'
    )
    composition = compose(load(path, environ={}))
    services = ProcessServices(composition, role="command")
    schema.up(services.database, [schema.HOST_SET, *composition.schema_sets])
    services.close()
    return Fleet(path, capsys)


def test_limits_are_listed_with_their_source(fleet):
    rows = fleet.rows()
    assert rows["actor:deliver"] == {
        "concurrency": 16,
        "rate": 50.0,
        "burst": 100,
        "source": "deployment",
        "held": 0,
        "open": None,
        "closed": None,
    }
    assert rows["queue:mail"]["concurrency"] == 64
    assert rows["queue:mail"]["source"] == "plugin"
    assert rows["partition:deliver"]["concurrency"] is None
    assert "actor:deliver" in fleet.run()[1]


def test_claimed_jobs_and_partitions_are_counted(fleet):
    services = ProcessServices(compose(load(fleet.path, environ={})), role="worker")
    runtime = services.delivery
    with unit_of_work(runtime) as work:
        for endpoint in ("e1", "e1", "e2"):
            work.enqueue("deliver", endpoint=endpoint)
    with runtime.database.session(), runtime.database.transaction() as tx:
        claims = Claims(runtime, "mail", ["deliver"], "w")
        assert len(claims.claim(tx, 10, runtime.clock.now())) == 3
    services.close()
    fleet.run("set", "actor:deliver", "--partition", "e1", "--concurrency", "9")
    rows = fleet.rows()
    assert {name: row["held"] for name, row in rows.items()} == {
        "actor:deliver": 3,
        "partition:deliver": 3,
        "partition:deliver/e1": 2,
        "queue:mail": 3,
    }
    assert (rows["partition:deliver"]["open"], rows["partition:deliver"]["closed"]) == (0, 2)


def test_jobs_are_listed_by_partition(fleet):
    services = ProcessServices(compose(load(fleet.path, environ={})), role="command")
    with unit_of_work(services.delivery) as work:
        for endpoint in ("e1", "e2"):
            work.enqueue("deliver", endpoint=endpoint)
    services.close()
    assert invoke(["jobs", "list", "--partition", "e2", "--json", "-d", str(fleet.path)]) == 0
    [job] = json.loads(fleet.capsys.readouterr().out)
    assert (job["partition"], job["arguments"]) == ("e2", '{"endpoint":"e2"}')


def test_a_limit_is_changed_in_part_and_reset(fleet):
    status, out, _ = fleet.run("set", "actor:deliver", "--concurrency", "4")
    assert (status, out) == (
        0,
        "actor:deliver: Limits(concurrency=4, rate=50, burst=100)\n",
    )
    row = fleet.rows()["actor:deliver"]
    assert (row["concurrency"], row["rate"], row["source"]) == (4, 50.0, "run time")
    assert fleet.run("reset", "actor:deliver")[0] == 0
    assert fleet.rows()["actor:deliver"]["concurrency"] == 16
    status, _, err = fleet.run("reset", "actor:deliver")
    assert (status, err) == (1, "actor:deliver has no limit that was set at run time\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["actor:delivre", "--concurrency", "4"], 'did you mean "actor:deliver"?'),
        (["order", "--concurrency", "4"], "expected one of actor:deliver, queue:mail"),
        (["queue:mail", "--concurrency", "4", "--partition", "e1"], "has no partitions"),
        (["actor:deliver", "--concurrency", "0"], "1<=x"),
        (["actor:deliver", "--rate", "0"], "rate must be from"),
        (["actor:deliver", "--rate", "nan"], "rate must be from"),
        (["actor:deliver", "--concurrency", "2", "--partition", ""], "partition"),
        (["queue:mail", "--burst", "2"], "burst needs a rate"),
        (["actor:deliver"], "give --concurrency"),
    ],
)
def test_a_wrong_name_or_number_is_an_error_and_nothing_is_done(fleet, arguments, message):
    before = fleet.rows()
    status, _, err = fleet.run("set", *arguments)
    assert status in (1, 2)
    assert message in err
    assert fleet.rows() == before
