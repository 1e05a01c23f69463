"""A whole deployment under its supervisor, on the embedded backends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from .test_metrics import samples

pytest.importorskip("rolehost_embedded")

DEPLOYMENT = """
plugins = ["embedded", "ops"]

[http]
bind = "127.0.0.1:{port}"
access_log = false

[log]
format = "json"
"""


class Deployment:
    """A running deployment."""

    def __init__(self, port, process, folder):
        self.port = port
        self.process = process
        self.folder = folder

    def await_line(self, text):
        """Read the log until an event holds the text."""
        for line in self.process.stderr:
            if line.startswith("{") and text in json.loads(line)["event"]:
                return
        raise AssertionError(f"the log ended without {text!r}")

    def get(self, path):
        with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.read().decode()

    def http_role(self):
        """Return the process id of the http role: the parent of the one that counts."""
        (file,) = self.folder.glob("rolehost-*/metrics/counter_rolehost_[0-9]*.db")
        worker = file.stem.rpartition("_")[2]
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.partition("PPid:")[2].split()[0])


@pytest.fixture
def deployment(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "deployment.toml"
    file.write_text(DEPLOYMENT.format(port=port))
    main = "from rolehost.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", main, "run", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    running = Deployment(port, process, tmp_path)
    try:
        running.await_line("rolehost is ready")
        yield running
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def test_readiness_pings_the_database_of_the_deployment(deployment):
    database, *own = json.loads(deployment.get("/readyz"))["checks"]
    assert (database["name"], database["source"], database["ok"]) == ("database", "embedded", True)
    assert [(each["name"], each["source"], each["ok"]) for each in own] == [
        ("processes", "rolehost", True),
        ("schema", "rolehost", True),
    ]


def test_counts_outlive_a_killed_role_and_its_restart_is_counted(deployment):
    for _ in range(5):
        deployment.get("/healthz")
    os.kill(deployment.http_role(), signal.SIGKILL)
    deployment.await_line("http.0 is ready")
    seen = samples(deployment.get("/metrics"))
    requests = ("rolehost_http_requests_total", "method=GET,route=/healthz,status=2xx")
    assert seen[requests] == 5
    assert seen["rolehost_statistics_success", ""] == 1
    assert seen["rolehost_processes", "role=http"] == 1
    assert seen["rolehost_process_restarts_total", "reason=death,role=http"] == 1
