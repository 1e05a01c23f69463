"""The steps of a reader who follows a page: install, run tests, send requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.docs.pages import extract

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a distribution into a folder; return the environment in which it is found."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--upgrade", "--target", str(target), str(source)]
    subprocess.run([*command, *options], check=True)
    return {"PYTHONPATH": str(target)}


def run_suite(page: Path, folder: Path) -> str:
    """Write a page's files and run its tests, which pass; return pytest's output."""
    extract(page, folder)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def call(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Send a request; return status and decoded body."""
    data = None if body is None else json.dumps(body).encode()
    sent = headers or {}
    if body is not None:
        sent = {"Content-Type": "application/json", **sent}
    request = urllib.request.Request(url, data, sent)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
