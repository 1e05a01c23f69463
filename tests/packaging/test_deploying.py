"""``scripts/deploy.sh``: real process trees; stand-ins of kubectl and docker record their calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import deploy
from scripts.deploy_targets import Failed, Kubernetes, Processes, Shell
from tests.proofs.kit import ROOT
from tests.proofs.running import free_port

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"

PLUGINS = {"api": "webhooks-api", "worker": "webhooks-delivery"}


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The files of a fleet on one embedded database: an API and a worker."""
    folder = tmp_path / "deployments"
    folder.mkdir()
    for name, plugin in PLUGINS.items():
        (folder / f"{name}.toml").write_text(
            f'plugins = ["embedded", "ops", "{plugin}"]\n'
            f'[http]\nbind = "127.0.0.1:{free_port()}"\nshutdown_delay = 0\n'
            f'[embedded]\npath = "{tmp_path}/service.db"\n'
            '[storage]\ndatabase = "embedded"\n'
            '[fleet]\nname = "shop"\nmachine = "here"\n'
        )
    return folder


class Deploying:
    """Runs the command for a fleet; its process trees end with the test."""

    def __init__(self, fleet: Path, state: Path) -> None:
        self.fleet = fleet
        self.state = state

    def __call__(self, target: str, *options: str) -> int:
        return deploy.main([target, str(self.fleet), "--state", str(self.state), *options])

    def answers(self, name: str) -> bool:
        port = (self.fleet / f"{name}.toml").read_text().partition("127.0.0.1:")[2][:5].strip('"\n')
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return answer.status == 200

    def change(self, name: str, text: str) -> None:
        file = self.fleet / f"{name}.toml"
        file.write_text(file.read_text() + text)


@pytest.fixture
def deploying(fleet: Path, tmp_path: Path) -> Iterator[Deploying]:
    made = Deploying(fleet, tmp_path / "state")
    yield made
    options = Namespace(deployments=str(fleet), state=made.state, timeout=30.0)
    for name in PLUGINS:
        Processes(Shell(dry=False), options).stop(name)


@pytest.mark.processes
def test_process_trees_are_started_replaced_and_left_alone_if_nothing_changes(
    deploying: Deploying, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deploying("processes") == 0
    assert all(deploying.answers(name) for name in PLUGINS)

    assert deploying("processes") == 0
    assert "nothing changes" in capfd.readouterr().out

    deploying.change("worker", "[worker]\nthreads = 3\n")
    assert deploying("processes") == 0
    said = capfd.readouterr().out
    assert "reload" in said and "worker.toml" in said
    assert "api.toml" not in said.partition("deploy: 1 of")[2]


@pytest.mark.processes
def test_a_failing_rollout_reverts_the_steps_before_it(
    deploying: Deploying, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deploying("processes") == 0
    former = tmp_path / "former"
    shutil.copytree(deploying.fleet, former)
    deploying.change("api", "[supervisor]\nstart_timeout = 50.0\n")
    # It is ready too late.
    deploying.change("worker", "[worker]\nthreads = 3\n[supervisor]\nstart_timeout = 0.001\n")

    assert deploying("processes", "--undo", f"cp {former}/*.toml {deploying.fleet}") == 1

    assert "going back" in capfd.readouterr().err
    assert all(deploying.answers(name) for name in PLUGINS)
    assert deploying("processes") == 0
    assert "nothing changes" in capfd.readouterr().out


def test_a_fleet_that_does_not_fit_together_is_refused_before_anything_is_done(
    deploying: Deploying, capfd: pytest.CaptureFixture[str]
) -> None:
    deploying.change("api", "[http]\nbind = 7\n")
    assert deploying("processes") == 2
    assert "nothing was changed" in capfd.readouterr().err
    assert not deploying.state.exists()


#: Records its arguments; fails if they hold the text of the variable FAIL. ``docker compose run …
#: migrate fleet plan`` runs this tree's rolehost, as the container would.
STAND_IN = """#!/bin/sh
case "$*" in
    *" migrate fleet "*)
        while [ "$1" != migrate ]; do shift; done
        shift
        exec {rolehost} "$@" ;;
esac
echo "$@" >>{calls}
case "$*" in *"${{FAIL:-nothing}}"*) exit 1 ;; esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which stand-ins of kubectl and docker write down their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    for name in ("kubectl", "docker"):
        program = folder / name
        program.write_text(STAND_IN.format(rolehost=ROLEHOST, calls=calls))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


def migrated(fleet: Path) -> None:
    """Bring the tables up, as the Job does in a cluster."""
    command = [ROLEHOST, "migrate", "up", "-d", fleet / "api.toml"]
    subprocess.run(command, check=True, capture_output=True)


def test_kubernetes_gets_one_deployment_after_the_other(deploying: Deploying, calls: Path) -> None:
    migrated(deploying.fleet)
    assert deploying("kubernetes", "--timeout", "60") == 0
    made = calls.read_text().splitlines()
    migrating = made.index("apply -k deploy/k8s/migrate")
    worker = made.index("rollout status deployment/rolehost-worker --timeout=60s")
    api = made.index("rollout status deployment/rolehost-api --timeout=60s")
    assert migrating < min(worker, api)
    assert made[worker - 1].endswith("-l app.kubernetes.io/component=worker")
    assert "--phase post" not in made[migrating]


def test_kubernetes_reverts_started_rollouts_if_a_step_fails(
    deploying: Deploying, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated(deploying.fleet)
    monkeypatch.setenv("FAIL", "status deployment/rolehost-worker")
    assert deploying("kubernetes") == 1
    made = calls.read_text().splitlines()
    assert "delete -k deploy/k8s/worker --wait --timeout=120s" in made
    assert "rollout undo deployment/rolehost-api" not in made


def test_compose_replaces_one_service_after_the_other(deploying: Deploying, calls: Path) -> None:
    migrated(deploying.fleet)
    assert deploying("compose", "--timeout", "60") == 0
    made = [each.partition("fleet.yml ")[2] for each in calls.read_text().splitlines()]
    assert made[0].startswith("run --rm --no-deps --quiet-pull migrate migrate up --phase pre")
    assert {"up --detach --no-deps --wait --wait-timeout 60 worker"} <= set(made)


def test_kubernetes_goes_back_to_the_former_revision(calls: Path, fleet: Path) -> None:
    options = Namespace(deployments=str(fleet), timeout=9.0)
    Kubernetes(Shell(dry=False), options).back("api")
    assert calls.read_text().splitlines() == [
        "rollout undo deployment/rolehost-api",
        "rollout status deployment/rolehost-api --timeout=9s",
    ]


@pytest.mark.parametrize("target", ["processes", "compose", "kubernetes"])
def test_a_dry_run_prints_the_commands_and_runs_none(
    target: str, deploying: Deploying, calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    migrated(deploying.fleet)
    assert deploying(target, "--dry-run") == 0
    said = capfd.readouterr().out
    assert "deploy: $ " in said
    assert "worker" in said
    assert not calls.exists()
    assert not deploying.state.exists()


def test_a_missing_command_is_named() -> None:
    with pytest.raises(Failed, match="no-such-command"):
        Shell(dry=False).run(["no-such-command"])


def test_the_script_calls_the_module() -> None:
    done = subprocess.run(
        [ROOT / "scripts/deploy.sh", "--help"], capture_output=True, text=True, check=True
    )
    assert "--dry-run" in done.stdout
