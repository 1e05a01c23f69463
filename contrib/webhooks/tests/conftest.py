"""A running host with the three plugins, a receiver on this machine, and Svix's own client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from svix.api import Svix, SvixOptions

from .receiver import Receiver

T = TypeVar("T")

ROLEHOST = str(Path(sys.executable).with_name("rolehost"))

TOKEN = "a-token-for-tests"

DEPLOYMENT = """
plugins = ["embedded", "webhooks-api", "webhooks-ingest", "webhooks-delivery"]

[http]
bind = "127.0.0.1:{port}"

[embedded]
path = "rolehost.db"

[webhooks-api]
token = "{token}"

[webhooks-ingest]
application = "from-the-stream"

[webhooks-delivery]
allow_private = true
schedule = [0.1, 0.1, 0.1]
jitter = 0.0
timeout = 5.0
retry_after_longest = 1.0
"""


class Host:
    """One running deployment."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.file = folder / "deployment.toml"
        self.file.write_text(DEPLOYMENT.format(port=port, token=TOKEN))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [ROLEHOST, "run", str(self.file)],
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Return when every role is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return "is ready" in self.log.read_text()

        eventually(ready, seconds=30)

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.terminate()
        self.process.wait(30)

    def command(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the host's command line on this deployment."""
        return subprocess.run(
            [ROLEHOST, *arguments],
            env={**os.environ, "ROLEHOST_DEPLOYMENT": str(self.file)},
            capture_output=True,
            text=True,
            timeout=60,
        )


def eventually(check: Callable[[], T], seconds: float = 10.0) -> T:
    """Return the first result of ``check`` that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    running = Host(tmp_path_factory.mktemp("host"))
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def svix(host: Host) -> Iterator[Svix]:
    client = Svix(TOKEN, SvixOptions(server_url=host.url))
    yield client
    client._httpx_client.close()  # it offers no other way


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def get(host: Host) -> Callable[..., tuple[int, bytes]]:
    """Send one plain request; return status and body."""

    def send(
        path: str, *, method: str = "GET", data: bytes | None = None, token: str | None = TOKEN
    ) -> tuple[int, bytes]:
        request = urllib.request.Request(host.url + path, data=data, method=method)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        opener = urllib.request.build_opener(_EveryStatus)
        with opener.open(request, timeout=10) as response:
            return response.status, response.read()

    return send


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """An answer is an answer, whatever its status."""

    def http_response(self, request, response):  # type: ignore[no-untyped-def]
        return response
