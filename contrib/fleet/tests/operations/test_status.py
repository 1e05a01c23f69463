"""What is wrong with a fleet that runs."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
from rolehost.api import Event, Schedule, actor, handler
from rolehost.composition.manifest import describe
from rolehost.delivery import leases
from rolehost.roles.process import Process
from rolehost.services import manifests as stored
from rolehost_fleet import status
from rolehost_fleet.diagnosis import diagnose

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("dramatiq"),
    pytest.mark.needs("cronsim"),
]


@actor(name="greet")
def greet(job, name: str) -> None: ...


@actor(name="other", queue="other")
def other(job) -> None: ...


@handler(topic="orders", group="mail")
def mail(context, event) -> None: ...


DAILY = Schedule(name="daily", actor="greet", arguments={"name": "x"}, cron="0 0 * * *")


@contextmanager
def living(composition, *roles, incarnation=1):
    """Processes of these roles, as far as presence goes."""
    with ExitStack() as stack:
        for role in roles:
            process = Process(composition, role=role, incarnation=incarnation)
            process.start()
            stack.callback(process.stop)
        yield


def judge(services, expected=(), *, stream=None):
    now = time.time_ns() // 1_000_000
    return diagnose(status.read(services.database, stream, now, expected), expected)


def codes(findings):
    return [problem.code for problem in findings.errors]


def test_a_fleet_that_runs_what_its_files_say_is_well(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",))
    services = any_fleet.services(composition)
    with living(composition, "worker"):
        findings = judge(services, [describe(composition)])
    assert (findings.errors, findings.warnings) == ((), ())


def test_jobs_that_no_living_worker_takes_are_orphans(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",))
    services = any_fleet.services(composition)
    services.enqueue("greet", name="you")
    with living(composition, "worker"):
        assert codes(judge(services)) == []
    (problem,) = judge(services).errors
    assert problem.code == "orphaned-jobs"
    assert problem.what == "1 job of greet will never be done: no living worker takes them"
    assert problem.fix == "restart the worker of app, which has the actor"


def test_jobs_in_a_queue_that_the_worker_leaves_out_are_orphans(any_fleet):
    composition = any_fleet.compose(
        "app", '[worker]\nqueues = ["other"]', actors=[greet, other], enqueues=("greet",)
    )
    services = any_fleet.services(composition)
    services.enqueue("greet", name="you")
    with living(composition, "worker"):
        (problem,) = judge(services).errors
    assert problem.where == "queue default"


def test_a_schedule_without_a_leader_will_not_tick(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",), schedules=[DAILY])
    services = any_fleet.services(composition)
    with living(composition, "scheduler"):
        (problem,) = judge(services).errors
        assert problem.code == "no-scheduler"
        with services.database.session():
            ((owner,),) = services.database.read("SELECT id FROM rolehost_processes")
        leases.acquire(services.database, services.clock, "scheduler", owner, 60)
        assert codes(judge(services)) == []


def test_a_deployment_that_should_run_and_does_not_is_missed(any_fleet):
    composition = any_fleet.compose(actors=[greet], handlers=[], enqueues=("greet",))
    services = any_fleet.services(composition)
    (problem,) = judge(services, [describe(composition)]).errors
    assert problem.what == "no process of app is running"
    switched_off = describe(any_fleet.compose("app", "[fleet]\nreplicas = 0", actors=[greet]))
    assert codes(judge(services, [switched_off])) == []


def test_processes_of_one_deployment_that_run_different_things_have_drifted(any_fleet):
    one = any_fleet.compose(actors=[greet])
    services = any_fleet.services(one)
    other = any_fleet.compose("app", "[worker]\nthreads = 3", actors=[greet])
    with living(one, "worker"), living(other, "worker"):
        (problem,) = judge(services, [describe(other)]).errors
        assert problem.code == "drift"
        assert problem.fix == "finish the rollout; they differ in setting worker.threads"


def test_what_runs_and_is_not_what_the_file_says_is_told(any_fleet):
    one = any_fleet.compose(actors=[greet])
    services = any_fleet.services(one)
    newer = describe(one)
    newer = msgspec.structs.replace(newer, version="9.9")
    with living(one, "worker"):
        (problem,) = judge(services, [newer]).errors
    assert problem.code == "not-rolled-out"
    assert "rolehost 0.1.0 and 9.9" in problem.fix


def test_too_few_processes_are_worth_a_look(any_fleet):
    composition = any_fleet.compose("app", "[fleet]\nreplicas = 2", actors=[greet])
    services = any_fleet.services(composition)
    with living(composition, "worker"):
        findings = judge(services, [describe(composition)])
    assert codes(findings) == []
    assert [problem.what for problem in findings.warnings] == [
        "1 of 2 processes of the role worker live"
    ]


def test_events_that_nobody_reads_and_that_nobody_relays_are_told(fleet):
    reads = fleet.compose("reads", handlers=[mail])
    writes = fleet.compose("writes", publishes=("orders",))
    services = fleet.services(writes)
    services.publish(Event(topic="orders", type="made", data=b"{}"))
    found = judge(services, [describe(reads)], stream=services.stream)
    assert codes(found) == ["no-process", "no-relay"]
    with living(writes, "http"):
        deadline = time.monotonic() + 20
        while services.statistics().outbox_count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = judge(services, [describe(reads)], stream=services.stream)
    assert codes(found) == ["no-process", "orphaned-group"]
    assert found.errors[1].what == (
        "1 event of orders will never be read by the group mail: no living consumer has it"
    )
    with living(reads, "consumer"):
        assert codes(judge(services, stream=services.stream)) == []


def test_ephemeral_messages_that_were_given_up_are_dead_letters_too(fleet):
    @actor(name="ping", durable=False)
    def ping(services) -> None: ...

    composition = fleet.compose(actors=[ping], enqueues=("ping",))
    services = fleet.services(composition)
    assert services.statistics().dead_messages == 0
    services.send(ping)
    consumer = services.queue.broker().consume("default.ephemeral")
    message = next(consumer)
    consumer.nack(message)
    consumer.close()
    assert services.statistics().dead_messages == 1
    with living(composition, "worker"):
        now = time.time_ns() // 1_000_000
        seen = status.read(services.database, None, now, queue=services.queue)
    (problem,) = diagnose(seen).warnings
    assert (problem.code, problem.got) == ("dead-letters", "1")


def test_dead_letters_and_clocks_that_differ_are_worth_a_look(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",))
    services = any_fleet.services(composition)
    services.enqueue("greet", name="you")
    with living(composition, "worker"):
        with services.database.session(), services.database.transaction() as tx:
            tx.execute("UPDATE rolehost_jobs SET state = 'dead'")
            tx.execute("UPDATE rolehost_processes SET renewed_at = renewed_at + 60000")
        findings = judge(services)
    assert [problem.code for problem in findings.warnings] == ["dead-letters", "clock-skew"]


def test_schedules_that_fail_or_were_silenced_by_a_clock_are_worth_a_look(any_fleet):
    composition = any_fleet.compose(actors=[greet], enqueues=("greet",), schedules=[DAILY])
    services = any_fleet.services(composition)
    now = services.clock.now()

    def told(**columns):
        with services.database.session(), services.database.transaction() as tx:
            tx.execute("DELETE FROM rolehost_ticks")
            for name in ("daily", "of nobody"):
                tx.execute(
                    f"INSERT INTO rolehost_ticks (schedule, {', '.join(columns)})"
                    f" VALUES (?{', ?' * len(columns)})",
                    (name, *columns.values()),
                )
        return [(each.code, each.what) for each in judge(services).warnings]

    with living(composition, "scheduler"):
        assert told(last_tick=now - 5000, failures=2, failed_at=now - 9000, error="x") == []
        ((code, what),) = told(last_tick=now - 5000, failures=2, failed_at=now, error="no such")
        assert (code, "failed the last time, 2 times in all: no such" in what) == (
            "schedule-fails",
            True,
        )
        ((code, what),) = told(last_tick=now + 365 * 86_400_000)
        assert (code, "365 days ahead" in what) == ("schedule-ahead", True)
        ((code, what),) = told(last_tick=now, set_back_at=now, set_back_from=now + 7_200_000)
        assert (code, "was 2 hours ahead" in what) == ("schedule-set-back", True)
        assert told(last_tick=now, set_back_at=now - 8 * 86_400_000, set_back_from=now) == []


@pytest.mark.needs("rolehost_ops")
def test_the_command_answers_with_its_exit_status(tmp_path, monkeypatch, capsys):
    from rolehost.cli.main import invoke

    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.toml").write_text(
        'plugins = ["embedded", "ops"]\n[embedded]\npath = "app.db"\n'
    )
    assert invoke(["fleet", "status", "app.toml"]) == 4
    assert "no tables yet" in capsys.readouterr().err
    assert invoke(["migrate", "up", "-d", "app.toml"]) == 0
    capsys.readouterr()
    assert invoke(["fleet", "status", "app.toml"]) == 1
    assert "no process of app is running" in capsys.readouterr().out
    (tmp_path / "app.toml").write_text(
        'plugins = ["embedded", "ops"]\n[embedded]\npath = "app.db"\n[fleet]\nreplicas = 0\n'
    )
    assert invoke(["fleet", "status", "--json", "app.toml"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["processes"] == []


def test_what_was_left_out_because_it_failed_is_worth_a_look(fleet):
    composition = fleet.compose(actors=[greet])
    services = fleet.services(composition)
    with living(composition, "worker"):
        manifest = msgspec.structs.replace(describe(composition), degraded=("shop",))
        stored.store(services.database, manifest, services.clock.now())
        with services.database.session(), services.database.transaction() as tx:
            tx.execute("UPDATE rolehost_processes SET manifest = ?", (manifest.hash,))
        (warning,) = judge(services).warnings
    assert (warning.code, warning.what) == ("degraded", "app runs without shop")


def test_the_command_looks_again_and_again_until_it_is_interrupted(fleet, monkeypatch, capsys):
    from rolehost.cli.main import invoke
    from rolehost_fleet.commands import status

    fleet.services(fleet.compose())
    path = fleet.folder / "watched.toml"
    path.write_text('plugins = ["embedded"]\n[embedded]\npath = "service.db"\n')
    path.write_text(path.read_text() + '[storage]\ndatabase = "embedded"\n')
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", nap)
    assert invoke(["fleet", "status", str(path), "--watch", "--every", "0.5"]) == 130
    assert naps == [0.5, 0.5]
    assert capsys.readouterr().out.count("no process is running") == 2


def test_what_lives_is_what_a_plan_against_live_compares_with(fleet):
    from rolehost.errors import StartError
    from rolehost_fleet.commands.plan import _running

    one = fleet.compose(actors=[greet])
    services = fleet.services(one)
    other = fleet.compose("app", "[worker]\nthreads = 3", actors=[greet])

    def look():
        return status.read(services.database, None, services.clock.now())

    with living(one, "worker"):
        (running,) = _running(look())
        assert (running.shared_hash, running.roles) == (describe(one).shared_hash, ("worker",))
        with living(other, "worker"), pytest.raises(StartError, match="app run different"):
            _running(look())
        with services.database.session(), services.database.transaction() as tx:
            tx.execute("UPDATE rolehost_processes SET manifest = NULL")
        with pytest.raises(StartError, match="app has no manifest"):
            _running(look())
