"""The reference plugin, installed as a distribution and run in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost.discovery.hooks import HOOKS, implementation

from tests.check.casefile import install
from tests.proofs.running import READY, eventually, free_port, running

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("falcon"),
    pytest.mark.needs("dramatiq"),
]

SOURCE = Path(__file__).with_name("reference")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a deployment that enables the plugin, and the plugin's metadata."""
    install(
        tmp_path / "site", "rolehost-reference", "0.1.0", "reference = rolehost_reference.plugin"
    )
    (tmp_path / "signature").write_text("signed by reference\n")
    (tmp_path / "rolehost.toml").write_text(
        'plugins = ["reference", "embedded"]\n'
        f'[http]\nbind = "127.0.0.1:{free_port()}"\n'
        '[storage]\ncache = "forgetful"\n'
        '[reference]\njournal = "journal.txt"\nsignature = "${file:signature}"\n'
    )
    return tmp_path


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{folder / 'site'}{os.pathsep}{SOURCE}"}


def rolehost(folder: Path, environ: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", *arguments],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def url(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """Where the running deployment answers; stopped at the end."""
    with running([sys.executable, "-m", "rolehost", "run"], folder, environ) as host:
        host.until(READY)
        settings = json.loads(rolehost(folder, environ, "settings", "--json"))
        bind = next(row["value"] for row in settings if row["key"] == "http.bind")
        yield f"http://{bind}/reference/greetings"


def ask(url: str, body: object = None) -> tuple[int, str, object]:
    """Return status, the middleware's header, and the decoded body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return answer.status, answer.headers["x-reference"], json.loads(text or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-reference"], json.loads(error.read())


def test_it_implements_every_hook(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    from rolehost_reference import plugin

    assert [hook for hook in HOOKS if implementation(plugin, hook) is None] == []


def test_a_greeting_goes_through_every_role_and_has_its_effects_once(url: str):
    assert ask(url, {"id": "g1", "name": "Ada"})[0] == 201
    done = {"handled": 1, "counted": 1}
    answer = eventually(lambda: ask(f"{url}/g1"), lambda got: got[2] == done)
    assert answer == (200, "signed by reference", done)


def test_errors_below_its_prefix_have_its_format(url: str):
    status, signature, body = ask(f"{url}/nobody")
    assert (status, signature) == (404, "signed by reference")
    assert isinstance(body, dict)
    assert body["detail"] == "no greeting nobody"


def test_every_process_starts_drains_and_stops_it_once(folder: Path, environ: dict[str, str]):
    with running([sys.executable, "-m", "rolehost", "run"], folder, environ) as host:
        host.until(READY)
        assert host.stop() == 0
    steps: dict[str, list[str]] = {}
    for line in (folder / "journal.txt").read_text().splitlines():
        role, step = line.split()
        steps.setdefault(role, []).append(step)
    assert set(steps) == {"http", "scheduler", "consumer", "worker"}
    assert all(each == ["start", "stop"] for each in steps.values()), steps


def test_its_command_has_the_services_of_the_deployment(url: str, folder: Path, environ):
    assert ask(url, {"id": "g1", "name": "Ada"})[0] == 201
    assert rolehost(folder, environ, "reference") == "1 greetings\n"
    assert "Count stored greetings" in rolehost(folder, environ, "commands")


@pytest.mark.needs("rolehost_fleet")
def test_the_chosen_cache_and_the_secret_are_explained(folder: Path, environ: dict[str, str]):
    why = rolehost(folder, environ, "why", "backend:forgetful")
    assert "rolehost.toml:5" in why
    settings = rolehost(folder, environ, "settings")
    assert "signed by reference" not in settings
    assert "********" in settings
