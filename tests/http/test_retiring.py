"""Processes that are replaced while they serve: no connected client gets an error."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.http.serving import PATIENCE, Served, read_all, serving

pytestmark = [pytest.mark.processes, pytest.mark.needs("falcon")]

REQUEST = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(params=["uvloop", "asyncio"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Of a process with each of the two event loops."""
    if request.param == "uvloop":
        return {}
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    found = (str(tmp_path), os.environ.get("PYTHONPATH", ""))
    return {"PYTHONPATH": os.pathsep.join(each for each in found if each)}


def retire(served: Served) -> None:
    served.process.send_signal(signal.SIGUSR1)


def last_answer(served: Served, connection: HTTPConnection) -> int:
    """Send requests until a response closes the connection; return its status."""
    while True:
        status, headers, _ = served.on(connection, "GET", "/readyz")
        if headers.get("connection") == "close":
            return status


def gone(served: Served) -> None:
    """Wait for its end, which is one in good order."""
    served.out.until("stopped")
    assert served.status() == 0


def test_clients_that_connect_meanwhile_are_served_by_the_next_process(
    listener: socket.socket, environ: dict[str, str]
) -> None:
    with serving(environ, listener=listener) as old:
        old.ready()
        retire(old)
        gone(old)
        with old.raw() as connection:
            connection.sendall(REQUEST)
            with serving(listener=listener) as new:
                new.ready()
                assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_the_last_response_of_a_kept_connection_has_connection_close(
    listener: socket.socket,
) -> None:
    with serving(listener=listener, keep_alive=30.0) as served:
        served.ready()
        with served.connection() as connection, served.connection() as other:
            for each in (connection, other):
                _, headers, _ = served.on(each, "GET", "/hello")
                assert "connection" not in headers
            retire(served)
            assert last_answer(served, connection) == 200
            _, headers, _ = served.on(other, "GET", "/hello")
            assert headers["connection"] == "close"
            gone(served)
        assert served.out.seen.count("draining") == 1


def test_a_new_connection_may_still_ask(listener: socket.socket, environ: dict[str, str]) -> None:
    with serving(environ, listener=listener, keep_alive=30.0) as served:
        served.ready()
        with served.raw() as fresh, served.connection() as kept:
            # The server has accepted the first one when it has answered on the second.
            served.on(kept, "GET", "/hello")
            retire(served)
            assert last_answer(served, kept) == 200
            fresh.sendall(REQUEST)
            assert b"\r\nconnection: close\r\n" in read_all(fresh).lower()
        gone(served)


def test_an_idle_connection_ends_by_itself(listener: socket.socket) -> None:
    with serving(listener=listener, keep_alive=0.3) as served:
        served.ready()
        with served.raw() as never_used:
            retire(served)
            assert read_all(never_used) == b""
        gone(served)


def test_a_request_that_runs_is_answered(listener: socket.socket) -> None:
    with serving(listener=listener, keep_alive=0.1) as served:
        served.ready()
        with served.raw() as connection:
            connection.sendall(b"GET /slow?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            served.out.until("slow request is running")
            retire(served)
            assert read_all(connection).startswith(b"HTTP/1.1 200")
        gone(served)


def test_all_workers_retire_and_no_other_is_started(listener: socket.socket) -> None:
    with serving(listener=listener, processes=3) as served:
        served.ready()
        retire(served)
        assert served.status() == 0
        assert served.out.all().count("started") == 3


def test_it_can_be_stopped_while_it_retires(listener: socket.socket) -> None:
    with serving(listener=listener, keep_alive=60.0) as served:
        served.ready()
        with served.raw() as idle:
            idle.sendall(REQUEST)
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
            retire(served)
            served.term()
            assert read_all(idle) == b""
        gone(served)


def test_the_address_of_a_listener_that_was_handed_over_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()

        with serving(listener=made) as served:
            served.ready()
            served.term()
            assert served.status() == 0
        assert path.exists()


def test_a_replacing_process_does_not_serve_before_it_has_started(
    listener: socket.socket, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    environ = {"ROLEHOST_REPLACES": "1", "SERVED_WAITS": str(there)}
    with serving(environ, listener=listener) as served:
        served.out.until("waiting")
        listener.settimeout(PATIENCE)
        with served.raw() as connection:
            # No other process has taken it.
            accepted, _ = listener.accept()
            accepted.close()
            assert connection.recv(1) == b""
        there.touch()
        served.ready()
        assert served.ask("GET", "/hello")[0] == 200
