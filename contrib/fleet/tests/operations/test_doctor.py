"""Whether a deployment can run here, line by line."""

from __future__ import annotations

import json
import re
import socket
import uuid
from pathlib import Path

import pytest
import rolehost
from rolehost.api import Schedule, actor
from rolehost.cli.main import invoke
from rolehost_fleet.commands import doctor_checks

pytestmark = [
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("rolehost_ops"),
    pytest.mark.needs("falcon"),
]


class Patient:
    """A deployment file, and what the doctor says of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "app.toml"
        self._capsys = capsys

    def write(self, plugins: list[str], *settings: str) -> None:
        self.path.write_text("\n".join([f"plugins = {['ops', *plugins]}", *settings]))

    def migrate(self) -> None:
        assert invoke(["migrate", "up", "-d", str(self.path)]) == 0
        self._capsys.readouterr()

    def look(self) -> tuple[int, dict[str, list[dict[str, str]]]]:
        status = invoke(["doctor", str(self.path), "--json"])
        lines: dict[str, list[dict[str, str]]] = {}
        for line in json.loads(self._capsys.readouterr().out)["lines"]:
            lines.setdefault(line["subject"], []).append(line)
        return status, lines


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int) -> Patient:
    made = Patient(tmp_path, capsys)
    made.write(
        ["embedded"],
        '[embedded]\npath = "service.db"',
        f'[http]\nbind = "127.0.0.1:{free_port}"',
        '[storage]\ndatabase = "embedded"',
    )
    return made


def test_a_healthy_deployment_is_well(patient):
    patient.migrate()
    status, lines = patient.look()
    assert status == 0
    assert {line["level"] for each in lines.values() for line in each} == {"ok"}
    assert lines["database embedded"][0]["text"].startswith("SQLite 3.")
    assert re.fullmatch(r"all \d+ are applied", lines["migrations"][0]["text"])
    assert lines["host"][0]["text"] == f"rolehost {rolehost.__version__}"
    assert lines["plugin ops"][0]["text"].startswith("rolehost-ops ")
    assert {"python", "open files", "address", "disk"} <= set(lines)


def test_pending_migrations_fail_with_what_to_do(patient):
    status, lines = patient.look()
    (line,) = lines["migrations"]
    assert (status, line["level"], line["fix"]) == (
        1,
        "fail",
        f"rolehost migrate up -d {patient.path}",
    )


def test_schedules_that_do_not_tick_are_worth_a_look(fleet):
    @actor(name="greet")
    def greet(job) -> None: ...

    schedule = Schedule(name="often", actor="greet", every=60.0)
    composition = fleet.compose(actors=[greet], enqueues=("greet",), schedules=[schedule])
    services = fleet.services(composition)
    ahead = services.clock.now() + 365 * 86_400_000
    with services.database.session(), services.database.transaction() as tx:
        tx.execute("INSERT INTO rolehost_ticks (schedule, last_tick) VALUES ('often', ?)", (ahead,))
    lines = list(doctor_checks.engines(services, "rolehost migrate up"))
    (line,) = [each for each in lines if each.subject == "schedule"]
    assert (line.level, "often is 365 days ahead" in line.text) == ("warn", True)


def test_an_address_in_use_is_worth_a_look(patient):
    patient.migrate()
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        patient.write(["embedded"], f'[http]\nbind = "{bind}"')
        _, lines = patient.look()
    assert lines["address"][0]["level"] == "warn"
    assert bind in lines["address"][0]["text"]


def test_a_broken_deployment_is_told_with_its_mistakes(patient):
    patient.write(["embedded", "opps"], "[http]\nbindd = 1")
    status, lines = patient.look()
    assert status == 1
    told = " ".join(line["text"] for line in lines["deployment"])
    assert "opps" in told
    assert "http.bindd" in told


@pytest.mark.needs("rolehost_redis")
def test_an_engine_that_is_away_fails_unless_it_is_optional(patient, free_port):
    away = f'[redis]\nurl = "redis://127.0.0.1:{free_port}/0"'
    chosen = '[storage]\ndatabase = "embedded"\nqueue = "embedded"\ncache = "redis"'
    patient.write(["embedded", "redis"], chosen, away)
    patient.migrate()
    status, lines = patient.look()
    assert (status, lines["cache redis"][0]["level"]) == (1, "fail")
    assert str(free_port) in lines["cache redis"][0]["text"]
    assert lines["cache redis"][0]["fix"] == "change [redis] url"
    patient.write(["embedded", "redis"], chosen, 'optional = ["cache"]', away)
    status, lines = patient.look()
    assert (status, lines["cache redis"][0]["level"]) == (0, "warn")


@pytest.mark.needs("rolehost_postgres")
@pytest.mark.needs("rolehost_redis")
def test_servers_tell_their_versions_and_their_clocks(patient, postgres_url, redis_url):
    patient.write(
        ["postgres", "redis"],
        '[storage]\ndatabase = "postgres"\nqueue = "redis"\ncache = "redis"',
        f'[postgres]\nurl = "{postgres_url}"\n[redis]\nurl = "{redis_url}"',
    )
    _, lines = patient.look()
    assert lines["database postgres"][0]["text"].startswith("PostgreSQL ")
    assert lines["cache redis"][0]["text"].startswith(("Redis ", "Valkey "))
    for engine in ("database postgres", "cache redis", "queue redis"):
        assert lines[f"clock of {engine}"][0]["level"] == "ok", lines


@pytest.mark.needs("rolehost_postgres")
def test_an_old_transaction_and_a_table_without_autovacuum_are_worth_a_look(
    postgres_url, monkeypatch
):
    import psycopg2
    from psycopg2.extensions import make_dsn
    from rolehost.api import Secret
    from rolehost_fleet.commands import vacuum_checks
    from rolehost_postgres.database import PostgresDatabase
    from rolehost_postgres.settings import PostgresSettings

    monkeypatch.setattr(vacuum_checks, "OLD", 0)
    schema = f"doctor_{uuid.uuid4().hex}"
    idle = psycopg2.connect(postgres_url, application_name="reports")
    with idle, idle.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.rolehost_jobs ()")
        cursor.execute(f"ALTER TABLE {schema}.rolehost_jobs SET (autovacuum_enabled = false)")
    own = make_dsn(postgres_url, options=f"-c search_path={schema}")
    database = PostgresDatabase(PostgresSettings(url=Secret(own)))
    try:
        with idle.cursor() as cursor, database.session():
            cursor.execute("SELECT 1")
            found = list(vacuum_checks.problems(database))
    finally:
        idle.rollback()
        with idle, idle.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
        idle.close()
        database.close()
    texts = [each.text for each in found]
    assert any("(reports, idle in transaction) began 0 s ago" in text for text in texts)
    assert any(text.startswith("rolehost_jobs: autovacuum_enabled=false") for text in texts)


@pytest.mark.needs("rolehost_memcached")
def test_memcached_tells_its_version_and_no_time(patient, memcached_url):
    server = memcached_url.removeprefix("memcached://")
    patient.write(
        ["embedded", "memcached"],
        '[storage]\ndatabase = "embedded"\ncache = "memcached"',
        f'[memcached]\nservers = ["{server}"]\n[embedded]\npath = "service.db"',
    )
    patient.migrate()
    status, lines = patient.look()
    assert status == 0, lines
    assert lines["cache memcached"][0]["text"].startswith("memcached 1.")
    assert "clock of cache memcached" not in lines


def test_clocks_that_differ_are_told_by_how_much():
    assert doctor_checks._clock("x", 0.5).level == "ok"
    assert doctor_checks._clock("x", -2).text == "2.00 s behind this machine's"
    assert doctor_checks._clock("x", -2).level == "warn"
    assert doctor_checks._clock("x", 9).level == "fail"


def test_an_engine_that_hangs_is_given_up():
    import threading

    leave = threading.Event()
    with pytest.raises(TimeoutError, match="no answer"):
        doctor_checks._call_with_timeout(0.05, leave.wait)
    leave.set()
