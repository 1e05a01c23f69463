"""Runs ``served.py`` and talks to it over real connections."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any

PROGRAM = Path(__file__).parent / "served.py"
PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Output:
    """The lines of a stream, to be waited for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seen: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._ended = False
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)

    def until(self, text: str) -> str:
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self.seen.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in {self.seen}")

    def all(self) -> list[str]:
        while not self._ended:
            line = self._lines.get(timeout=PATIENCE)
            if line is None:
                self._ended = True
            else:
                self.seen.append(line)
        return self.seen


class Served:
    """A running http role."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        assert process.stdout and process.stderr
        self.process = process
        self.port = port
        self.out = Output(process.stdout)
        self.err = Output(process.stderr)

    def ready(self) -> Served:
        self.out.until("ready")
        return self

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        made = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            yield made
        finally:
            made.close()

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        with self.connection() as connection:
            return self.on(connection, method, path, body, headers)

    @staticmethod
    def on(
        connection: HTTPConnection,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return response.status, named, response.read()

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def say(self, data: bytes) -> bytes:
        """Send bytes on a separate connection; return the whole response."""
        with self.raw() as connection:
            connection.sendall(data)
            return read_all(connection)

    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        return self.process.wait(PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


@contextmanager
def serving(
    environ: dict[str, str] | None = None, listener: socket.socket | None = None, **http: Any
) -> Iterator[Served]:
    """Run it; with a listener as the supervisor does that has opened it."""
    environ = dict(environ or {})
    port = listener.getsockname()[1] if listener else free_port()
    if listener:
        environ["ROLEHOST_LISTENER_FD"] = str(listener.fileno())
    settings = {"bind": f"127.0.0.1:{port}", **http}
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
        pass_fds=[listener.fileno()] if listener else (),
        start_new_session=True,
    )
    served = Served(process, port)
    try:
        yield served
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.poll()
        process.wait()
        served.out.all()
        served.err.all()
