"""What an author or operator does who follows a page: install, ask over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a distribution into a folder; return the environment in which it is found."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--upgrade", "--target", str(target), str(source)]
    subprocess.run([*command, *options], check=True)
    return {"PYTHONPATH": str(target)}


def call(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Send a request; return status and decoded body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
