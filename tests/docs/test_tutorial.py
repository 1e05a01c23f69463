"""The plugin that docs/writing-a-plugin.md builds works as it stands there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import extract
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, eventually, free_port, running

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a distribution into a folder; return the environment in which it is found."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([*command, *options], check=True)
    return {"PYTHONPATH": str(target)}


def call(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("tutorial")
    extract(ROOT / "docs/writing-a-plugin.md", folder)
    return folder, install(folder / "guestbook", folder / "site")


@pytest.fixture
def guestbook(workshop: tuple[Path, dict[str, str]]) -> Iterator[str]:
    folder, environ = workshop
    port = free_port()
    bind = {"ROLEHOST__HTTP__BIND": f"127.0.0.1:{port}"}
    command = [ROLEHOST, "run", "guestbook.toml"]
    with running(command, folder, environ | bind) as host:
        host.until(READY)
        yield f"http://127.0.0.1:{port}/signatures"


def test_the_deployment_is_what_the_page_says(workshop: tuple[Path, dict[str, str]]) -> None:
    folder, environ = workshop
    done = subprocess.run(
        [ROLEHOST, "check", "guestbook.toml"],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "http, scheduler, worker" in done.stdout


def test_a_signature_is_greeted_once_however_often_it_is_sent(
    guestbook: str,
) -> None:
    url = guestbook
    key = {"Idempotency-Key": "1"}
    assert call(url, {"name": "Ada"}, key) == (201, {"id": 1})
    assert call(url, {"name": "Ada"}, key) == (201, {"id": 1})
    assert eventually(lambda: call(url), lambda answer: answer[1][0]["greeting"] is not None) == (
        200,
        [{"name": "Ada", "greeting": "Welcome, Ada!"}],
    )


def test_a_nameless_guest_is_told_what_is_wrong(guestbook: str) -> None:
    status, problem = call(guestbook, {"name": ""})
    assert status == 422
    assert problem["code"] == "validation_error"
