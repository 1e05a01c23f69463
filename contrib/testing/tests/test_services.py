"""Servers of tests: there when asked for, disturbed when wanted, gone with their owner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rolehost_testing.pytest_plugin import unavailable
from rolehost_testing.services import Missing, Server, StartFailed, jars, shared_url, start
from rolehost_testing.services.engines import VARIABLES
from rolehost_testing.services.guardian import family
from rolehost_testing.services.kafka import alive

from contrib.testing.tests.engines import psql, redis, sql, until

pytestmark = pytest.mark.own_server

ENGINES = ["postgres", "redis", "memcached", "kafka"]
OWNER = Path(__file__).with_name("owner.py")


def killed(engine: str, *options: str) -> tuple[list[int], Path]:
    """Start a server in another process, kill that process; return the server's and its folder."""
    owner = subprocess.Popen(
        [sys.executable, OWNER, engine, *options], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        started = json.loads(owner.stdout.readline())
    if "missing" in started:
        owner.wait()
        unavailable(started["missing"])
    everybody = family(started["pid"])
    owner.kill()
    owner.wait()
    assert everybody
    return everybody, Path(started["folder"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_dies_with_its_killed_owner_and_leaves_nothing(engine: str) -> None:
    everybody, folder = killed(engine)
    until(lambda: not folder.exists())
    assert not [pid for pid in everybody if family(pid)]


def test_a_child_that_the_owner_leaves_behind_keeps_no_server_alive() -> None:
    everybody, folder = killed("memcached", "--fork")
    until(lambda: not folder.exists())
    assert not [pid for pid in everybody if family(pid)]


def test_a_closed_server_leaves_nothing(start_server: Callable[..., Server]) -> None:
    server = start_server("redis")
    pid = server.pid
    server.close()
    assert not family(pid)
    assert not server.folder.exists()
    server.close()


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restarted_postgresql_has_its_port_and_its_data(
    start_server: Callable[..., Server], immediate: bool
) -> None:
    server = start_server("postgres")
    sql(server, "CREATE TABLE kept (id int)")
    before = server.pid, server.url
    server.restart(immediate)
    assert server.pid != before[0]
    assert server.url == before[1]
    assert sql(server, "SELECT count(*) FROM kept") == "0"


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restarted_redis_has_its_port_and_its_data(
    start_server: Callable[..., Server], immediate: bool
) -> None:
    server = start_server("redis")
    assert redis(server, "SET", "key", "kept") == b"+OK\r\n"
    server.stop(immediate)
    with pytest.raises(ConnectionRefusedError):
        redis(server, "PING")
    server.run()
    assert redis(server, "GET", "key") == b"$4\r\nkept\r\n"


def test_a_frozen_server_accepts_and_does_not_answer_until_it_is_thawed(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("redis")
    server.freeze()
    with pytest.raises(TimeoutError):
        redis(server, "PING", timeout=0.2)
    server.thaw()
    assert redis(server, "PING") == b"+PONG\r\n"


def test_all_processes_of_a_frozen_postgresql_stand_still(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("postgres")
    everybody = family(server.pid)
    server.freeze()
    assert len(everybody) > 1
    until(lambda: {_state(pid) for pid in everybody} == {"T"})
    server.thaw()
    assert sql(server, "SELECT 1") == "1"


def _state(pid: int) -> str:
    """Return the state of a process; of one that has ended since it was listed: frozen."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "T"


def test_a_frozen_server_can_be_stopped_in_order(start_server: Callable[..., Server]) -> None:
    server = start_server("postgres")
    server.freeze()
    server.stop()
    assert "database system is shut down" in server.log


def test_a_standby_follows_and_only_reads(start_server: Callable[..., Server]) -> None:
    server = start_server("postgres", standby=True)
    sql(server, "CREATE TABLE followed (id int)")
    until(lambda: sql(server.standby, "SELECT to_regclass('followed')") == "followed")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        sql(server.standby, "INSERT INTO followed VALUES (1)")
    assert "read-only transaction" in refused.value.stderr


def test_a_password_and_tls_are_required(start_server: Callable[..., Server]) -> None:
    server = start_server("postgres", password="it's 100% s:cret/", tls=True)
    assert sql(server, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"
    with pytest.raises(subprocess.CalledProcessError) as plain:
        psql(f"postgresql://rolehost:wrong@127.0.0.1:{server.port}/rolehost?sslmode=disable", "")
    assert "no encryption" in plain.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as wrong:
        psql(f"postgresql://rolehost:wrong@127.0.0.1:{server.port}/rolehost", "SELECT 1")
    assert "password authentication failed" in wrong.value.stderr


def test_a_redis_asks_for_its_password(start_server: Callable[..., Server]) -> None:
    server = start_server("redis", password='with "quotes" and \\')
    assert redis(server, "PING").startswith(b"-NOAUTH")
    assert redis(server, "AUTH", 'with "quotes" and \\') == b"+OK\r\n"


def test_parameters_reach_the_engine(start_server: Callable[..., Server]) -> None:
    server = start_server("postgres", parameters={"max_connections": 17, "fsync": False})
    assert sql(server, "SHOW max_connections") == "17"
    assert sql(server, "SHOW fsync") == "off"
    assert b"noeviction" not in redis(
        start_server("redis", parameters={"maxmemory-policy": "allkeys-lru"}),
        *("CONFIG", "GET", "maxmemory-policy"),
    )


def test_three_brokers_know_each_other_and_two_go_on_without_the_third(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("kafka", brokers=3)
    first, *others = server.brokers
    assert [sorted(alive(each.port)) for each in server.brokers] == [[1, 2, 3]] * 3
    first.stop(immediate=True)
    until(lambda: [sorted(alive(each.port)) for each in others] == [[2, 3]] * 2)
    first.run()
    assert sorted(alive(first.port)) == [1, 2, 3]


def test_a_server_that_cannot_start_raises_the_reason_and_leaves_nothing(
    start_server: Callable[..., Server],
) -> None:
    with pytest.raises(StartFailed, match=r"(?s)redis ended at its start.*no-such-parameter"):
        start_server("redis", parameters={"no-such-parameter": "1"})


def test_the_environment_names_a_server_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLES["redis"], "redis://elsewhere:1/0")
    assert shared_url("redis") == "redis://elsewhere:1/0"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_engine_is_reported_with_how_to_install_it(
    engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("rolehost_testing.services.places.ELSEWHERE", ())
    monkeypatch.setattr("rolehost_testing.services.compose.engine", lambda: None)
    monkeypatch.setattr(jars, "java", jars.java.__wrapped__)
    with pytest.raises(Missing, match=r"scripts/services\.sh install"):
        start(engine)


def test_a_missing_pgbouncer_is_reported_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rolehost_testing.services.places.ELSEWHERE", ())
    with pytest.raises(Missing, match=r"scripts/services\.sh install"):
        start("pgbouncer", server="postgresql://rolehost@127.0.0.1:1/rolehost")


def test_a_java_that_is_too_old_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.1\" 2018-10-16' >&2\n", "utf-8")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Missing, match=r"needs Java 17 or newer; .* says: openjdk version .11"):
        jars.java.__wrapped__()


def test_kafkas_jars_are_missing_until_they_are_brought(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(jars.FOLDER, raising=False)
    with pytest.raises(Missing, match=r"kafka-4\.1\.1.*services\.sh install"):
        jars.folder()
    assert not jars.place().exists()


def test_an_unknown_engine_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no engine 'oracle': expected one of postgres"):
        start("oracle")
    with pytest.raises(ValueError, match="no engine 'oracle'"):
        shared_url("oracle")
