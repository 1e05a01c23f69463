"""The plugin in a real http role."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

ROLE = [sys.executable, "-m", "rolehost.roles", "--role", "http", "--deployment"]
COMMAND = [sys.executable, "-c", "from rolehost.cli.main import main; main()", "--deployment"]


@pytest.fixture
def deployment(tmp_path):
    """Return the deployment file and the address it serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    file = tmp_path / "shop.toml"
    file.write_text(f'plugins = ["openapi"]\n[http]\nbind = "{address}"\naccess_log = false\n')
    return file, address


@contextmanager
def serving(file):
    """Run the http role of a deployment; leave it by TERM."""
    ours, theirs = os.pipe()
    environ = os.environ | {"ROLEHOST_STATUS_FD": str(theirs), "XDG_RUNTIME_DIR": str(file.parent)}
    process = subprocess.Popen([*ROLE, str(file)], pass_fds=(theirs,), env=environ)
    os.close(theirs)
    with os.fdopen(ours) as status:
        try:
            assert status.readline() == "ready\n"
            yield
        finally:
            process.terminate()
            process.wait()


def test_the_host_serves_what_the_command_prints(deployment):
    file, address = deployment
    printed = subprocess.run(
        [*COMMAND, str(file), "openapi", "--compact"], check=True, capture_output=True
    ).stdout
    with serving(file):
        with urlopen(f"http://{address}/openapi.json") as answer:
            assert answer.read() == printed.rstrip(b"\n")
    assert json.loads(printed)["info"]["title"] == "shop"


def test_the_host_serves_the_page_and_its_files(deployment):
    file, address = deployment
    with serving(file):
        with urlopen(f"http://{address}/docs") as answer:
            page = answer.read().decode()
        script = page.partition('<script src="')[2].partition('"')[0]
        request = Request(f"http://{address}/{script}", headers={"Accept-Encoding": "gzip"})
        with urlopen(request) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "immutable" in answer.headers["Cache-Control"]
