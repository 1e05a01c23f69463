"""The role as a process: gunicorn below our settings, real connections, real signals."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from rolehost.roles.http.connection import WriteProgress

from tests.http.serving import PATIENCE, Served, free_port, read_all, serving

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("falcon"),
    pytest.mark.skipif(
        not Path("/proc/self/task").exists(), reason="looks at processes through /proc"
    ),
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(processes=2, max_body=100_000) as running:
        yield running.ready()


# Requests


def test_it_serves_asynchronous_and_synchronous_responders(served: Served) -> None:
    assert json.loads(served.ask("GET", "/hello")[2])["hello"] == "world"
    assert json.loads(served.ask("POST", "/length", b"12345")[2]) == {"length": 5}
    assert served.ask("POST", "/echo", b"12345")[2] == b"12345"


def test_a_connection_is_kept_for_the_next_request(served: Served) -> None:
    with served.connection() as connection:
        for _ in range(3):
            assert served.on(connection, "GET", "/hello")[0] == 200


def test_malformed_json_is_a_problem(served: Served) -> None:
    status, headers, body = served.ask("POST", "/decoded", b'{"a":')
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["code"] == "malformed_json"


def test_a_client_that_sends_all_of_a_refused_body_still_reads_the_413(served: Served) -> None:
    assert served.ask("POST", "/echo", b"x" * 1_000_000)[0] == 413


def test_a_chunked_body_above_the_limit_is_413(served: Served) -> None:
    chunks = iter([b"x" * 50_000] * 20)
    status, headers, body = served.ask("POST", "/echo", chunks)
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["code"] == "content_too_large"


def test_a_client_that_asks_before_sending_a_large_body_is_refused_at_once(served: Served) -> None:
    head = (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
    )
    with served.raw() as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_route_may_take_more_than_the_others(served: Served) -> None:
    assert json.loads(served.ask("POST", "/large", b"x" * 3_000_000)[2]) == {"length": 3_000_000}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /hello HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /hello HTTP/1.1\nHost: x\n\n" + b" " * 9000, b"4"),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX_Under: 1\r\n\r\n", b"400"),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
    ],
    ids=[
        "many fields",
        "long field",
        "long line",
        "bare LF",
        "underscore",
        "two hosts",
        "two lengths",
    ],
)
def test_floods_and_ambiguous_heads_are_refused(
    served: Served, request_bytes: bytes, status: bytes
) -> None:
    assert served.say(request_bytes).startswith(b"HTTP/1.1 " + status)


def test_an_error_is_logged_with_the_id_that_the_client_sees(served: Served) -> None:
    _, headers, body = served.ask("GET", "/boom")
    line = json.loads(served.err.until("a responder failed"))
    assert line["request_id"] == headers["x-request-id"] == json.loads(body)["instance"]
    assert "the secret of the house" in line["exception"]
    assert b"secret" not in body
    assert (line["deployment"], line["role"], line["slot"]) == ("test", "http", 0)


def test_gunicorns_own_lines_go_through_our_logs(served: Served) -> None:
    served.say(b"GET /hello HTTP/1.1\r\nHost: x\r\n\x00\r\n\r\n")
    served.ask("GET", "/hello", headers={"x-request-id": "the-last-line"})
    served.err.until("the-last-line")
    for line in served.err.seen:
        assert json.loads(line)["role"] == "http"


# Slow clients


def test_a_head_that_does_not_come_is_cut_off() -> None:
    with serving(head_timeout=0.2) as served:
        served.ready()
        with served.raw() as silent, served.raw() as dripping:
            dripping.sendall(b"GET /hello HTTP/1.1\r\nHo")
            for connection in (silent, dripping):
                assert read_all(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path", ["/echo", "/length"])
@pytest.mark.parametrize("begun", [b"", b"12"])
def test_a_body_that_does_not_come_is_answered_408(path: str, begun: bytes) -> None:
    with serving(body_timeout=0.2) as served:
        served.ready()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n".encode()
        answer = served.say(head + begun)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"request_timeout"' in answer


def test_a_request_that_is_being_answered_is_not_slow() -> None:
    with serving(head_timeout=0.1, body_timeout=0.1) as served:
        served.ready()
        assert served.ask("GET", "/slow?seconds=2.5")[0] == 200


def unread(served: Served, path: str, *, size: int = 4096) -> socket.socket:
    """Ask for a path and read nothing of the answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", served.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def cut(connection: socket.socket) -> bool:
    """Wait until the server resets the connection, without reading what it has sent."""
    poll = select.poll()
    poll.register(connection, select.POLLERR | select.POLLHUP)
    return bool(poll.poll(PATIENCE * 1000))


def read_slowly(connection: socket.socket, hurry: threading.Event, size: int) -> int:
    """Read so many bytes, a little at a time until ``hurry`` is set; return how many came."""
    taken = 0
    while taken < size and (part := connection.recv(65_536)):
        taken += len(part)
        hurry.wait(0.1)
    return taken


def test_clients_that_do_not_read_are_cut_off_and_those_that_read_slowly_are_not() -> None:
    hurry = threading.Event()
    with serving(write_timeout=1.5) as served, ThreadPoolExecutor(1) as pool:
        served.ready()
        slow = unread(served, "/heavy?bytes=4000000", size=65_536)
        taken = pool.submit(read_slowly, slow, hurry, 4_000_000)
        kept = unread(served, "/heavy?bytes=8000000")
        streams = [unread(served, f"/endless?bytes={size}") for size in (2000, 100_000)]
        try:
            assert all(cut(connection) for connection in (kept, *streams))
            for _ in streams:
                served.out.until("the stream ended")
            served.err.until("did not read its response")
        finally:
            hurry.set()
        assert taken.result(PATIENCE) >= 4_000_000
        for connection in (kept, *streams, slow):
            connection.close()
        assert served.ask("GET", "/hello")[0] == 200


@pytest.mark.parametrize(
    ("waiting", "stalled"),
    [
        ([9, 9, 9, 9], True),
        ([9, 99, 999, 9999], True),
        ([90_000, 89_000, 88_000, 87_000], True),
        ([90_000, 70_000, 60_000, 40_000], False),
        ([9, 0, 9, 9], False),
        ([9, 9, None, 9], False),
        ([0, 0, 0, 0], False),
    ],
)
def test_progress_is_measured_by_bytes_that_the_client_accepts(
    waiting: list[int | None], stalled: bool
) -> None:
    progress = WriteProgress()
    last = False
    for second, size in enumerate(waiting):
        if size is None:
            progress.reset()
        else:
            last = progress.stalled(size, float(second), 2.5)
    assert last == stalled


# Processes


def test_a_worker_that_dies_is_replaced() -> None:
    with serving(processes=2) as served:
        served.ready()
        before = served.workers()
        os.kill(min(before), signal.SIGKILL)
        served.out.until("started")
        after = served.workers()
        assert max(before) in after
        assert len(after) == 2
        assert served.ask("GET", "/hello")[0] == 200


def test_workers_end_when_their_master_is_killed_and_free_the_address() -> None:
    with serving(processes=2) as served:
        served.ready()
        workers = [os.pidfd_open(pid) for pid in served.workers()]
        served.process.kill()
        for descriptor in workers:
            with os.fdopen(descriptor):
                assert select.select([descriptor], [], [], PATIENCE)[0]
        with serving(bind=f"127.0.0.1:{served.port}") as next_one:
            next_one.ready()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_streams_and_websockets_are_ended_when_a_drain_begins(signum: int) -> None:
    """SIGUSR1 retires the role, as a reload does."""
    # Longer than a test waits: nothing but the end of both lets the process end.
    with serving(grace=300.0, keep_alive=1.0) as served, ExitStack() as stack:
        served.ready()
        events, messages = (stack.enter_context(served.raw()) for _ in range(2))
        events.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        messages.sendall(
            b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        read_until(events, b"data: first")
        read_until(messages, b"hello")
        served.process.send_signal(signum)
        going_away = b"\x03\xe9"
        assert going_away in read_until(messages, going_away)
        # The client's part of the closing handshake: a masked close frame.
        messages.sendall(b"\x88\x82\x00\x00\x00\x00" + going_away)
        assert read_all(messages) is not None
        assert read_all(events).endswith(b"0\r\n\r\n")
        assert served.status() == 0
        reported = served.out.all()
        assert "socket ended" in reported
        assert "events ended" in reported


def read_until(connection: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        chunk = connection.recv(4096)
        assert chunk, data
        data += chunk
    return data


def test_a_request_that_runs_at_the_end_is_answered_and_plugins_drain_and_stop() -> None:
    for path in ("/slow", "/slow-thread"):
        with serving(processes=2) as served:
            served.ready()
            with served.connection() as connection:
                connection.request("GET", f"{path}?seconds=0.7")
                served.out.until("slow request is running")
                served.term()
                response = connection.getresponse()
                assert json.loads(response.read()) == {"slept": True}
                assert response.headers["connection"] == "close"
            assert served.status() == 0
            said = served.out.all()
            assert said.count("draining") == said.count("stopped") == 2


def test_idle_connections_do_not_hold_the_end_up() -> None:
    with serving(keep_alive=300.0, grace=300.0) as served:
        served.ready()
        with served.connection() as kept, served.raw() as silent:
            served.on(kept, "GET", "/hello")
            served.term()
            assert read_all(silent) == b""
            assert served.status() == 0


def test_a_request_that_outlives_the_grace_is_given_up() -> None:
    with serving(grace=0.3) as served:
        served.ready()
        with served.connection() as connection:
            connection.request("GET", "/slow?seconds=60")
            served.out.until("slow request is running")
            served.term()
            assert served.status() == 0


def test_it_is_unready_before_it_stops_accepting() -> None:
    with serving(shutdown_delay=2.0) as served:
        served.ready()
        with served.connection() as connection:
            assert served.on(connection, "GET", "/readyz")[0] == 200
            served.term()
            served.out.until("draining")
            assert served.on(connection, "GET", "/readyz")[0] == 503
        assert served.ask("GET", "/hello")[0] == 200
        assert served.status() == 0


# Errors


def test_a_port_in_use_is_one_clear_line_and_status_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = "{}:{}".format(*taken.getsockname())
        with serving(bind=bind) as served:
            assert served.status() == 4
            (line,) = served.err.all()
            assert line.startswith(f"error: cannot listen on {bind}: the address is in use")


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        ("nonsense", "is not an address: expected host:port or unix:/path"),
        ("127.0.0.1:99999", "is not an address"),
        ("198.51.100.1:8000", "this machine has no such address"),
        ("unix:/nowhere/at/all.sock", "No such file or directory"),
        ("unix:", "has no path"),
    ],
)
def test_an_unavailable_address_is_one_clear_line(bind: str, words: str) -> None:
    with serving(bind=bind) as served:
        assert served.status() == 4
        (line,) = served.err.all()
        assert words in line


def test_a_plugin_that_cannot_start_ends_the_role_with_its_one_line() -> None:
    with serving({"SERVED_FAILS": "1"}, processes=2) as served:
        assert served.status() == 4
        assert served.err.all() == [
            "rolehost http: plugin sample (sample 1): rolehost_start raised StartError:"
            " the sample cannot start here; fix it, or remove sample from plugins"
        ]


def test_a_unix_socket_serves_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serving(bind=f"unix:{path}") as served:
        served.ready()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 200")
        with serving(bind=f"unix:{path}") as second:
            assert second.status() == 4
            assert "another process listens on it" in second.err.all()[0]


def test_an_address_of_the_sixth_version_is_taken() -> None:
    port = free_port()
    with serving(bind=f"[::1]:{port}") as served:
        served.ready()
        with socket.create_connection(("::1", port), PATIENCE) as connection:
            connection.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 200")
