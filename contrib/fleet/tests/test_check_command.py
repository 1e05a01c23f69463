from __future__ import annotations

import json
from pathlib import Path

import pytest
from rolehost.cli.main import invoke

from tests.proofs.fleet_check import DEPLOY, K8S, alarm, own_fleets
from tests.proofs.fleet_check_case import FOUR, Case
from tests.proofs.fleet_check_cases import CASES

pytestmark = [
    pytest.mark.needs("rolehost_webhooks"),
    pytest.mark.needs("rolehost_postgres"),
    pytest.mark.needs("rolehost_kafka"),
]


def files(name: str, folder: Path) -> list[str]:
    case = next(case for case in CASES if case.name == name)
    return [str(path) for path in case.write(folder)]


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLEHOST_DEPLOYMENT", raising=False)


def test_our_own_fleets_fit_together() -> None:
    assert {name: told for name, told in own_fleets() if told} == {}


def test_the_manifests_are_looked_at(tmp_path: Path) -> None:
    assert (K8S / "fleet").is_dir()
    assert alarm([DEPLOY / "api.toml"], {"ROLEHOST__DEPLOYMENT__MIGRATE": "check"}) != ""


def test_a_fleet_that_fits_ends_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    status = invoke(["fleet", "check", *(str(DEPLOY / f"{name}.toml") for name in FOUR)])

    assert status == 0
    assert capsys.readouterr().out.endswith("webhooks: ok: the deployments fit together\n")


def test_a_mistake_ends_it_with_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = invoke(["fleet", "check", *files("the scheduler was forgotten", tmp_path)])

    assert status == 3
    out = capsys.readouterr().out
    assert out.startswith("schedule-without-scheduler: ")
    assert out.endswith("webhooks: 1 error\n")


def test_a_warning_fails_the_check_only_when_it_is_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files("threads wait for each other's connections", tmp_path)

    assert invoke(["fleet", "check", *paths]) == 0
    assert "warning: pool-too-small" in capsys.readouterr().out
    assert invoke(["fleet", "check", "--strict", *paths]) == 3


def test_a_deployment_that_is_wrong_by_itself_is_told_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Case(
        name="", code="", whose=(), fix="", settings={"worker": {"worker": {"threads": 0}}}
    ).write(tmp_path)

    assert invoke(["fleet", "check", "--json", *map(str, paths)]) == 3

    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    [error] = told["fleets"][0]["errors"]
    assert error["who"] == f"deployment {tmp_path / 'worker.toml'}"


def test_the_document_tells_what_each_deployment_asks_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    invoke(["fleet", "check", "--json", *(str(DEPLOY / f"{name}.toml") for name in FOUR)])

    told = json.loads(capsys.readouterr().out)
    [fleet] = told["fleets"]
    assert told["ok"] is True
    assert (fleet["fleet"], fleet["errors"], fleet["warnings"]) == ("webhooks", [], [])
    worker = fleet["deployments"][1]
    assert worker["name"] == "worker"
    assert worker["roles"] == ["http", "worker"]
    assert (worker["processes"], worker["database_connections"]) == (3, 30)


def test_without_a_deployment_it_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", "check"]) == 2
    assert "DEPLOYMENT" in capsys.readouterr().err


def test_a_misspelt_subcommand_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(["fleet", "chek"]) == 2
    assert 'did you mean "check"?' in capsys.readouterr().err


def test_the_server_is_asked_for_its_limit_only_when_told_to(
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = Case(
        name="",
        code="",
        whose=(),
        fix="",
        settings={
            "base": {"fleet": {"database_connections": 100_000}},
            "worker": {"fleet": {"replicas": 500}},
        },
    ).write(tmp_path)
    monkeypatch.setenv("ROLEHOST_POSTGRES_URL", postgres_url)

    assert invoke(["fleet", "check", *map(str, paths)]) == 0
    capsys.readouterr()
    assert invoke(["fleet", "check", "--connect", *map(str, paths)]) == 3
    out = capsys.readouterr().out
    assert out.startswith("too-many-connections: ")
    assert "the database server, max_connections" in out


def test_several_fleets_in_one_folder_are_each_checked_by_themselves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Files that others include enable no plugin, and are no deployments."""
    assert invoke(["fleet", "check", "--json", str(DEPLOY)]) == 0

    fleets = json.loads(capsys.readouterr().out)["fleets"]
    assert {each["fleet"]: len(each["deployments"]) for each in fleets} == {
        "webhooks": 4,
        "embedded": 1,
    }


def test_what_another_image_has_installed_must_be_what_is_installed_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(DEPLOY / f"{name}.toml") for name in FOUR]
    file = tmp_path / "manifest.json"
    assert invoke(["fleet", "manifest", paths[1], "--output", str(file)]) == 0
    assert invoke(["fleet", "check", "--manifest", str(file), *paths]) == 0
    capsys.readouterr()
    saved = json.loads(file.read_text("utf-8"))
    [worker] = saved["deployments"]
    for entry in worker["plugins"]:
        if entry["distribution"] == "rolehost-webhooks":
            entry["version"] = "9.9"
    worker["migrations"] = [each for each in worker["migrations"] if each["owner"] != "webhooks"]
    worker["migrations"].append({"owner": "webhooks", "number": 1, "name": "new", "phase": "pre"})
    file.write_text(json.dumps(saved), encoding="utf-8")

    assert invoke(["fleet", "check", "--manifest", str(file), *paths]) == 3

    out = capsys.readouterr().out
    assert "got:      rolehost-webhooks 9.9" in out
    assert "only there webhooks/0001_new" in out
    file.write_text("{}", encoding="utf-8")
    assert invoke(["fleet", "check", "--manifest", str(file), *paths]) == 4


def test_files_that_only_others_include_are_no_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", "check", str(DEPLOY / "base.toml")]) == 4
    assert "no deployment here enables a plugin" in capsys.readouterr().err
