"""A plugin whose import raises, installed next to a deployment that does not enable it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.check.casefile import install
from tests.proofs.kit import Figures, Options
from tests.proofs.running import READY, free_port, running

PROMISE = (
    "If an installed plugin raises when it is imported, but is not enabled, everything works and"
    " `rolehost plugins` lists it."
)
DURATION = "6 s"

#: Leaves a trace if it is imported, so that every import is detected.
BROKEN = """
import pathlib

pathlib.Path(__file__).with_name("imported").touch()
raise RuntimeError("the driver of acme is gone")
"""


def prove(options: Options) -> Figures:
    """Check, list, run and call a deployment; then enable the plugin and read the error."""
    line = options.progress(5, "checking and listing")
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        folder = Path(name)
        site = folder / "site"
        install(site, "acme-broken", "1.0", "acme = acme_broken")
        (site / "acme_broken.py").write_text(BROKEN)
        port = free_port()
        (folder / "rolehost.toml").write_text(
            'plugins = ["embedded", "ops"]\n'
            f'[http]\nbind = "127.0.0.1:{port}"\n'
            f'[embedded]\npath = "{folder}/service.db"\n'
        )
        status, text = rolehost(folder, "check")
        assert status == 0, text
        row = listed(folder)
        assert row["state"] == "disabled", row
        line.advance()
        line.relabel("running")
        command = [sys.executable, "-m", "rolehost", "run"]
        with running(command, folder, {"PYTHONPATH": str(site)}) as host:
            host.until(READY)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                assert answer.status == 200
        assert not (site / "imported").exists(), "the plugin was imported though not enabled"
        line.advance()
        line.relabel("probing it")
        row = listed(folder, "--probe")
        assert row["state"] == "broken", row
        assert "the driver of acme is gone" in row["why"], row
        line.advance()
        line.relabel("enabling it")
        status, text = rolehost(folder, "check", "--plugins", "embedded,ops,acme")
        assert status == 3, text
        for words in ("acme-broken 1.0", "acme_broken.py:5", "the driver of acme is gone"):
            assert words in text, f"{words!r} is not in: {text}"
        line.advance()
        status, text = rolehost(folder, "plugins", "--plugins", "embedded,ops,acme", "--json")
        states = {row["name"]: row["state"] for row in json.loads(text)}
        assert (states["acme"], states["ops"]) == ("broken", "enabled"), states
        line.advance()
    return {"listed": 1, "imported": 0, "answered": 200, "enabled_status": 3}


def listed(folder: Path, *options: str) -> dict[str, Any]:
    """Return the broken plugin's row of ``rolehost plugins``."""
    status, text = rolehost(folder, "plugins", "--json", *options)
    assert status == 0, text
    row: dict[str, Any] = next(row for row in json.loads(text) if row["name"] == "acme")
    return row


def rolehost(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command with the plugin on the path; return its status and its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLEHOST")}
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
