from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rolehost.cli import exits
from rolehost.cli.main import invoke
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.process import Process


@pytest.fixture
def deployment(tmp_path: Path) -> str:
    pytest.importorskip("rolehost_embedded")
    file = tmp_path / "sample.toml"
    file.write_text('plugins = ["embedded"]\n[embedded]\npath = "data/service.db"\n')
    return str(file)


@pytest.fixture
def run(deployment: str, capsys: pytest.CaptureFixture[str]):
    def command(*arguments: str) -> tuple[int, str, str]:
        status = invoke(["migrate", *arguments, "-d", deployment])
        return status, *capsys.readouterr()

    return command


def test_a_schema_goes_up_and_down(run, tmp_path: Path) -> None:
    assert run("status", "--check")[0] == exits.FAILED
    status, out, _ = run("up")
    assert status == exits.OK
    assert "applied rolehost/0001_" in out
    assert "applied embedded/0001_stream" in out
    assert (tmp_path / "data" / "service.db").exists()
    assert run("up")[1] == "no migrations are pending\n"
    assert run("status", "--check")[0] == exits.OK
    assert "reverted embedded/0001_stream" in run("down", "embedded", "--yes")[1]
    assert run("down", "embedded")[1] == "no migrations of embedded are applied\n"


def test_without_a_terminal_nothing_is_taken_back_that_was_not_confirmed(run) -> None:
    run("up")
    status, _, err = run("down", "embedded")
    assert status == exits.USAGE
    assert "embedded/0001_stream" in err
    assert "--yes" in err
    assert run("status", "--check")[0] == exits.OK


@pytest.mark.parametrize(("answer", "kept"), [("n\n", True), ("\n", True), ("y\n", False)])
def test_at_a_terminal_it_asks_for_confirmation(
    run, monkeypatch: pytest.MonkeyPatch, answer: str, kept: bool
) -> None:
    run("up")
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    _, out, _ = run("down", "embedded")
    assert "and their data lost: embedded/0001_stream" in out
    assert ("reverted embedded" in out) is not kept
    assert (run("status", "--check")[0] == exits.OK) is kept


def test_nothing_is_taken_back_from_processes_that_live(run, deployment: str) -> None:
    run("up")
    process = Process(compose(load(Path(deployment))), role="worker")
    process.start()
    try:
        status, _, err = run("down", "embedded", "--yes")
        assert status == exits.CANNOT_START
        assert process.identity.id in err
        assert "stop them first" in err
        assert run("status", "--check")[0] == exits.OK
    finally:
        process.stop()
    assert run("down", "embedded", "--yes")[0] == exits.OK


def test_status_is_a_document_too(run) -> None:
    run("up")
    _, out, _ = run("status", "--json")
    lines = json.loads(out)
    assert {line["owner"] for line in lines} == {"rolehost", "embedded"}
    assert {line["state"] for line in lines} == {"applied"}
    assert all(line["applied_at"].endswith("Z") for line in lines)


def test_a_phase_is_applied_and_listed_alone(run) -> None:
    run("up", "--phase", "pre")
    states = {}
    for phase in ("pre", "post"):
        lines = json.loads(run("status", "--phase", phase, "--json")[1])
        states[phase] = {line["state"] for line in lines}
    assert states == {"pre": {"applied"}, "post": {"pending"}}


def test_an_owner_that_has_no_migrations_is_answered_with_the_nearest(run) -> None:
    status, _, err = run("down", "embeded")
    assert status == exits.USAGE
    assert 'did you mean "embedded"' in err


def test_a_deployment_without_a_database_has_nothing_to_migrate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bare.toml"
    file.write_text("plugins = []\n")
    assert invoke(["migrate", "up", "-d", str(file)]) == exits.CANNOT_START
    assert "no database" in capsys.readouterr().err


def test_a_file_that_is_no_database_is_one_line(run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "service.db").write_text("not a database\n" * 500)
    status, _, err = run("up")
    assert status != exits.OK
    assert err.count("\n") == 1
    assert "service.db: this file is not a SQLite database" in err
