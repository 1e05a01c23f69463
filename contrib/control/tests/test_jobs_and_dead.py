"""The commands rolehost jobs and rolehost dead."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from dramatiq import Message
from rolehost import schema
from rolehost.api import Handler
from rolehost.cli.main import invoke
from rolehost.composition import compose
from rolehost.delivery import deadletters
from rolehost.delivery.jobs import NewJob
from rolehost.delivery.scopes import unit_of_work
from rolehost.deployment import load
from rolehost.services import ProcessServices
from rolehost.storage import Partition, Record

pytestmark = pytest.mark.needs("rolehost_embedded")


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """A deployment with a job in each of three states, and a dead event."""
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["embedded"]\n[storage]\nqueue = "embedded"\n')
    composition = compose(load(path, environ={}))
    services = ProcessServices(composition, role="command")
    schema.up(services.database, [schema.HOST_SET, *composition.schema_sets])
    with unit_of_work(services.delivery) as work:
        for state in ("available", "dead", "completed"):
            job = NewJob("mail", "send", state, 0, 1000, b'{"to":"x"}', None, None, 1000, None)
            services.delivery.ledger.insert(work.transaction, job)
        work.transaction.execute("UPDATE rolehost_jobs SET finished_at = 1500 WHERE id > 1")
        handler = Handler(fn=print, name="on", topic="things", group="g")
        record = Record("things", b"{}", b"k", (("ce_id", b"e1"),)).read_at(
            Partition("things", 0), 4, 1000
        )
        deadletters.add(work.transaction, handler, record, "/x e1", "ValueError: no", 2000)
    services.close()
    return path


def reported(capsys, *arguments):
    status = invoke(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_database_without_the_tables_is_reported_in_one_line(tmp_path, capsys):
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["embedded"]\n[storage]\nqueue = "embedded"\n')
    status, out, error = reported(capsys, "jobs", "list", "-d", str(path))
    assert (status, out) == (4, "")
    assert f"run rolehost migrate up -d {path} first" in error


def test_jobs_are_listed_and_shown(deployment, capsys):
    status, out, _ = reported(capsys, "jobs", "list", "-d", str(deployment), "--json")
    jobs = json.loads(out)
    assert status == 0
    assert [(job["id"], job["state"]) for job in jobs] == [
        (3, "completed"),
        (2, "dead"),
        (1, "available"),
    ]
    assert jobs[0]["enqueued_at"] == "1970-01-01T00:00:01.000Z"
    status, out, _ = reported(capsys, "jobs", "show", "1", "-d", str(deployment), "--json")
    assert json.loads(out)["arguments"] == '{"to":"x"}'
    status, out, _ = reported(capsys, "jobs", "list", "-d", str(deployment), "--state", "dead")
    assert "send" in out
    assert "completed" not in out


def test_a_job_is_shown_with_its_attempts(deployment, capsys):
    services = ProcessServices(compose(load(deployment, environ={})), role="command")
    with unit_of_work(services.delivery) as work:
        work.transaction.execute(
            "INSERT INTO rolehost_attempts (job, attempt, outcome, started_at, ended_at, process,"
            " error) VALUES (2, 1, 'dead', 1000, 1500, 'worker.0', 'ValueError: no')"
        )
    services.close()
    where = ("-d", str(deployment))
    _, out, _ = reported(capsys, "jobs", "show", "2", *where, "--json")
    (attempt,) = json.loads(out)["attempts"]
    assert (attempt["outcome"], attempt["ended_at"]) == ("dead", "1970-01-01T00:00:01.500Z")
    _, out, _ = reported(capsys, "jobs", "show", "2", *where)
    assert "ValueError: no" in out
    _, out, _ = reported(capsys, "jobs", "show", "1", *where, "--json")
    assert json.loads(out)["attempts"] == []


def test_jobs_are_searched_page_by_page(deployment, capsys):
    command = ("jobs", "list", "-d", str(deployment), "--json", "--arguments", '"to"')
    status, out, err = reported(capsys, *command, "--limit", "2")
    assert (status, [job["id"] for job in json.loads(out)]) == (0, [3, 2])
    assert "older jobs were not searched; add --before 2" in err
    _, out, err = reported(capsys, *command, "--before", "2")
    assert ([job["id"] for job in json.loads(out)], err) == ([1], "")
    _, out, _ = reported(capsys, *command, "--error", "absent")
    assert json.loads(out) == []


def test_a_job_whose_arguments_no_longer_fit_is_not_tried_again(tmp_path, capsys):
    (tmp_path / "shop_plugin.py").write_text(
        "from rolehost.api import PluginInfo, actor, hookimpl\n"
        "@actor(name='shop.send')\n"
        "def send(job, to: int): ...\n"
        "@hookimpl\n"
        "def rolehost_plugin(): return PluginInfo(api=1, enqueues=('shop.send',))\n"
        "@hookimpl\n"
        "def rolehost_actors(): return [send]\n"
    )
    folder = tmp_path / "shop-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[rolehost]\nshop = shop_plugin\n")
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["embedded", "shop"]')
    sys.path.insert(0, str(tmp_path))
    try:
        assert reported(capsys, "migrate", "up", "-d", str(path))[0] == 0
        services = ProcessServices(compose(load(path, environ={})), role="command")
        for state in ("dead", "dead", "cancelled"):
            job = NewJob("mail", "shop.send", state, 0, 1, b'{"to":"x"}', None, None, 1, None)
            with unit_of_work(services.delivery) as work:
                services.delivery.ledger.insert(work.transaction, job)
        services.close()
        for command in (["dead", "replay", "job:1"], ["jobs", "retry", "3"]):
            status, _, err = reported(capsys, *command, "-d", str(path))
            assert (status, "would fail immediately" in err, "Expected `int`" in err) == (
                1,
                True,
                True,
            )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("shop_plugin", None)


@pytest.mark.parametrize("number", ["9" * 30, "-1", "0", "one"])
def test_a_number_that_no_job_has_is_an_error_in_a_line(deployment, capsys, number):
    for command in (["jobs", "show"], ["jobs", "retry"], ["jobs", "cancel"]):
        assert reported(capsys, *command, "-d", str(deployment), "--", number)[0] == 2
    status, _, err = reported(capsys, "dead", "show", "-d", str(deployment), f"job:{number}")
    assert (status, "Traceback" in err) != (0, True)


def test_an_unknown_state_is_reported_with_the_known_states(deployment, capsys):
    status, _, err = reported(capsys, "jobs", "list", "-d", str(deployment), "--state", "ready")
    assert status == 2
    assert "'ready' is not one of available, scheduled" in err


def test_a_dead_job_is_retried_and_a_waiting_one_cancelled(deployment, capsys):
    assert reported(capsys, "jobs", "retry", "2", "-d", str(deployment))[0] == 0
    assert reported(capsys, "jobs", "cancel", "1", "-d", str(deployment))[1] == "job 1: cancelled\n"
    status, _, err = reported(capsys, "jobs", "cancel", "3", "99", "-d", str(deployment))
    assert status == 1
    assert "job 99 does not exist or has finished" in err


def test_a_retry_of_an_available_job_names_the_states_that_can_be_retried(deployment, capsys):
    status, _, err = reported(capsys, "jobs", "retry", "1", "-d", str(deployment))
    assert status == 1
    assert "job 1 is not dead, cancelled, scheduled or retrying" in err


def test_dead_letters_are_listed_shown_replayed_and_discarded(deployment, capsys):
    where = ("-d", str(deployment))
    _, out, _ = reported(capsys, "dead", "list", *where, "--json")
    assert {letter["id"] for letter in json.loads(out)} == {"job:2", "event:1"}
    _, out, _ = reported(capsys, "dead", "show", "event:1", *where, "--json")
    assert json.loads(out)["headers"] == {"ce_id": "e1"}
    assert reported(capsys, "dead", "replay", "event:1", "job:2", *where)[0] == 0
    _, out, _ = reported(capsys, "dead", "list", *where, "--json")
    assert [(letter["id"], letter["state"]) for letter in json.loads(out)] == [
        ("event:1", "replay")
    ]
    assert reported(capsys, "dead", "discard", "event:1", *where)[0] == 0
    assert reported(capsys, "dead", "discard", "event:1", *where)[0] == 1
    assert reported(capsys, "dead", "show", "letter", *where)[0] == 2


def test_dead_ephemeral_messages_are_dead_letters_too(deployment, capsys):
    where = ("-d", str(deployment))
    services = ProcessServices(compose(load(deployment, environ={})), role="command")
    broker = services.queue.broker()
    broker.declare_queue("mail.ephemeral")
    options = {"retries": 3, "traceback": "in line 1", "priority": 5}
    message = Message("mail.ephemeral", "send", (), {"to": "x"}, options)
    broker.enqueue(message)
    rejected = next(broker.consume("mail.ephemeral", timeout=20_000))
    rejected.stuff_exception(ValueError("no"))
    broker.consume("mail.ephemeral").nack(rejected)
    (letter,) = services.queue.dead_messages(10)
    number = f"message:{letter.number}"

    _, out, _ = reported(capsys, "dead", "list", *where, "--of", "send", "--json")
    listed = {each["id"]: each for each in json.loads(out)}
    assert set(listed) == {"job:2", number}
    assert listed[number]["error"] == "ValueError: no"
    _, out, _ = reported(capsys, "dead", "show", number, *where, "--json")
    shown = json.loads(out)
    assert (shown["actor"], shown["arguments"]) == ("send", {"to": "x"})
    assert shown["traceback"] == "in line 1"
    assert reported(capsys, "dead", "replay", number, *where)[0] == 0
    assert reported(capsys, "dead", "replay", number, *where)[0] == 1
    assert reported(capsys, "dead", "discard", number, *where)[0] == 1
    again = next(broker.consume("mail.ephemeral", timeout=20_000))
    assert again.message_id == message.message_id
    assert again.options == {"priority": 5}
    services.close()


def test_without_a_database_there_is_one_clear_line(tmp_path, capsys):
    path = tmp_path / "rolehost.toml"
    path.write_text("plugins = []\n")
    status, _, err = reported(capsys, "jobs", "list", "-d", str(path))
    assert status == 4
    assert "it has no migrations, jobs or dead letters" in err
