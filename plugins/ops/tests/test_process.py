"""The plugin in a real http role: gunicorn and its workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .test_metrics import samples

DEPLOYMENT = """
plugins = ["ops"]

[http]
bind = "127.0.0.1:{port}"
processes = 2
shutdown_delay = 60.0

[supervisor]
grace = 120.0
"""


@dataclass
class Role:
    """A started http role."""

    folder: Path
    port: int
    process: subprocess.Popen
    status: object

    def get(self, path):
        """Return status and body; every call is a connection of its own."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def samples(self):
        return samples(self.get("/metrics")[1])

    def workers(self):
        """Return the process ids that have a file."""
        files = self.folder.glob("rolehost-*/metrics/counter_rolehost_*.db")
        return {int(file.stem.rpartition("_")[2]) for file in files}


@pytest.fixture
def role(tmp_path):
    deployment = tmp_path / "deployment.toml"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    deployment.write_text(DEPLOYMENT.format(port=port))
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "rolehost.roles", "--role", "http"]
    process = subprocess.Popen(
        [*command, "--deployment", str(deployment)],
        pass_fds=(theirs,),
        env=os.environ | {"ROLEHOST_STATUS_FD": str(theirs), "XDG_RUNTIME_DIR": str(tmp_path)},
        start_new_session=True,
    )
    os.close(theirs)
    with os.fdopen(ours) as status:
        try:
            assert status.readline() == "ready\n"
            yield Role(tmp_path, port, process, status)
        finally:
            # Not TERM: that would wait for the load balancer of shutdown_delay.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_one_scrape_tells_of_all_processes_also_of_one_that_was_killed(role):
    key = ("rolehost_http_requests_total", "method=GET,route=/healthz,status=2xx")
    for _ in range(20):
        assert role.get("/healthz")[0] == 200
    assert role.samples()[key] == 20
    workers = role.workers()
    assert len(workers) == 2
    os.kill(workers.pop(), signal.SIGKILL)
    assert role.samples()[key] == 20


def test_a_process_that_was_told_to_stop_is_unready_at_once_and_still_alive(role):
    assert role.get("/readyz")[0] == 200
    role.process.send_signal(signal.SIGTERM)
    assert role.status.readline() == "draining\n"
    # Each worker turns unready by itself: this one may be the other.
    while (answer := role.get("/readyz"))[0] == 200:
        pass
    assert answer[0] == 503
    assert json.loads(answer[1]) == {"status": "draining", "checks": []}
    assert role.get("/healthz")[0] == 200
