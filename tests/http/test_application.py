"""Responders, middleware, request ids and logs of an application."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import falcon
import msgspec
import pytest
from rolehost.api import Middleware, Route
from rolehost.roles.http.application import build
from rolehost.services.threads import QUEUE_PER_THREAD
from structlog.testing import capture_logs

from tests.http.asgi import Answer, ask, call
from tests.http.compositions import compose
from tests.http.hosts import QUIET, Host, Items, Raises, Threaded, problem


class Grouped:
    def on_get(self, req: Any, resp: Any) -> None:
        raise ExceptionGroup("several", [falcon.HTTPConflict()])


def test_a_group_of_ordinary_exceptions_is_unchanged(host: Host) -> None:
    with capture_logs() as lines:
        assert ask(host.app(Route("/x", Grouped())), "GET", "/x").status == 500
    assert type(lines[0]["exc_info"]) is ExceptionGroup


class Ending:
    def on_get(self, req: Any, resp: Any) -> None:
        raise SystemExit(3)

    async def on_post(self, req: Any, resp: Any) -> None:
        raise SystemExit(3)

    async def on_put(self, req: Any, resp: Any) -> None:
        raise BaseExceptionGroup("several", [SystemExit(3)])


def test_a_synchronous_responder_cannot_end_the_process(host: Host) -> None:
    with capture_logs() as lines:
        assert ask(host.app(Route("/x", Ending())), "GET", "/x").status == 500
    assert "SystemExit: 3" in str(lines[0]["exc_info"])


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_asynchronous_responder_cannot_end_the_process(host: Host, method: str) -> None:
    with pytest.raises(RuntimeError, match="SystemExit"):  # the server answers 500
        ask(host.app(Route("/x", Ending())), method, "/x")


def test_an_asynchronous_responder_has_the_services_in_its_context(host: Host) -> None:
    answer = ask(host.app(Route("/items/{item}", Items())), "GET", "/items/7")
    assert answer.json == {"item": "7", "services": id(host.services)}


def test_asynchronous_responders_are_passed_to_falcon_unchanged(host: Host) -> None:
    from rolehost.roles.http.responders import adapter

    items = Items()
    route = Route("/items/{item}", items)
    adapt = adapter(None, host.services.session, host.services)  # type: ignore[arg-type]
    assert adapt(route, "GET", items.on_get) == items.on_get


def test_a_synchronous_responder_runs_on_a_thread_with_its_body_read(host: Host) -> None:
    app = host.app(Route("/threaded", Threaded()), request_id=True)
    answer = ask(app, "POST", "/threaded", body=b"12345", headers={"x-request-id": "mine"})
    assert answer.json == {"length": 5, "thread": "responder", "bound": "mine"}


def test_a_synchronous_responder_runs_inside_a_database_session(host: Host) -> None:
    app = host.app(Route("/threaded", Threaded()), backends={"database": object()})
    ask(app, "GET", "/threaded")
    assert host.services.sessions == ["entered", "left"]


def test_without_a_body_a_synchronous_responder_finds_an_empty_one(host: Host) -> None:
    assert ask(host.app(Route("/threaded", Threaded())), "GET", "/threaded").json == {"body": ""}


def test_json_is_encoded_and_decoded_by_msgspec(host: Host) -> None:
    class Point(msgspec.Struct):
        x: int

    class Json:
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.media = [Point(1), await req.get_media()]

    answer = ask(
        host.app(Route("/json", Json())),
        "POST",
        "/json",
        body=b'{"y": 2}',
        headers={"content-type": "application/json"},
    )
    assert answer.json == [{"x": 1}, {"y": 2}]


def test_requests_beyond_threads_and_queue_get_503_with_retry_after(host: Host) -> None:
    release = threading.Event()

    class Waits:
        def on_get(self, req: Any, resp: Any) -> None:
            release.wait(30)

    app = host.app(Route("/waits", Waits()), threads=1)
    room = 1 + QUEUE_PER_THREAD

    async def overload() -> list[Answer]:
        held = [asyncio.create_task(call(app, "GET", "/waits")) for _ in range(room)]
        while not all(task.done() or task.get_coro().cr_await for task in held):
            await asyncio.sleep(0)
        refused = await call(app, "GET", "/waits")
        release.set()
        return [refused, *await asyncio.gather(*held)]

    refused, *held = asyncio.run(overload())
    assert problem(refused)["code"] == "unavailable"
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert {answer.status for answer in held} == {200}


def test_middleware_runs_around_routes_in_order(host: Host) -> None:
    class Adds:
        def __init__(self, name: str) -> None:
            self.name = name

        async def process_response(self, req: Any, resp: Any, resource: Any, ok: bool) -> None:
            resp.append_header("x-seen", self.name)

    composition = compose(
        [Route("/items/{item}", Items())],
        middleware=[Middleware("outer", Adds("outer")), Middleware("inner", Adds("inner"))],
        **QUIET,
    )
    services: Any = host.services
    application = build(composition, services, host.recorders)
    assert ask(application.asgi, "GET", "/items/1").headers["x-seen"] == "inner, outer"
    application.close()


def test_a_fit_request_id_is_taken_over_and_sent_back(host: Host) -> None:
    app = host.app(Route("/items/{item}", Items()), request_id=True)
    for sent in ("abc-123", "x" * 128, "!~"):
        answer = ask(app, "GET", "/items/1", headers={"x-request-id": sent})
        assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"two words", b"tab\t", b"\xc3\xa9"])
def test_an_unfit_request_id_is_replaced(host: Host, sent: bytes) -> None:
    app = host.app(Route("/items/{item}", Items()), request_id=True)
    answer = ask(app, "GET", "/items/1", raw_headers=[(b"x-request-id", sent)])
    assert len(answer.headers["x-request-id"]) == 32


def test_every_request_has_a_unique_id(host: Host) -> None:
    app = host.app(Route("/items/{item}", Items()), request_id=True)
    assert len({ask(app, "GET", "/items/1").headers["x-request-id"] for _ in range(5)}) == 5


def test_one_line_is_logged_for_each_request(host: Host) -> None:
    app = host.app(Route("/items/{item}", Items()), access_log=True)
    with capture_logs() as lines:
        ask(app, "GET", "/items/7?secret=1")
    (line,) = lines
    assert line.pop("seconds") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/items/7",
        "route": "/items/{item}",
        "status": 200,
        "client": "127.0.0.1",
    }


class Remembers:
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.append((method, route, status))


def test_recorders_get_template_and_status(host: Host) -> None:
    remembers: Any = Remembers()
    host.recorders.add(remembers)
    app = host.app(Route("/items/{item}", Items()), Route("/raises", Raises(ValueError())))
    with capture_logs():
        for method, path in (("GET", "/items/1"), ("GET", "/x"), ("GET", "/raises")):
            ask(app, method, path)
        ask(app, "POST", "/items/1", headers={"content-length": "99999999"})
    assert remembers.requests == [
        ("GET", "/items/{item}", 200),
        ("GET", "", 404),
        ("GET", "/raises", 500),
        ("POST", "/items/{item}", 413),
    ]


def test_websockets_are_left_alone(host: Host) -> None:
    class Socket:
        async def on_websocket(self, req: Any, ws: Any) -> None:
            await ws.accept()
            await ws.send_text(req.context.services.__class__.__name__)

    app = host.app(Route("/socket", Socket()), request_id=True, access_log=True)
    sent: list[dict[str, Any]] = []
    come = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        if come:
            return come.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": "/socket",
        "raw_path": b"/socket",
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert sent[1]["text"] == "FakeServices"
