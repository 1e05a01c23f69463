from __future__ import annotations

import json
from pathlib import Path

import pytest
from rolehost.cli import exits
from rolehost.cli.main import invoke


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
    assert run("up")[1] == "nothing is pending\n"
    assert run("status", "--check")[0] == exits.OK
    assert "took back embedded/0001_stream" in run("down", "embedded")[1]
    assert run("down", "embedded")[1] == "nothing of embedded is applied\n"


def test_status_is_a_document_too(run) -> None:
    run("up", "--phase", "pre")
    _, out, _ = run("status", "--json")
    lines = json.loads(out)
    assert {line["owner"] for line in lines} == {"rolehost", "embedded"}
    assert {line["state"] for line in lines} == {"applied"}
    assert all(line["applied_at"].endswith("Z") for line in lines)


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
    assert "service.db: this file is no SQLite database" in err
