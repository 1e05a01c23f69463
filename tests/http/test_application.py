"""The application of a composition, called as the server calls it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import falcon
import msgspec
import pytest
import structlog
from rolehost.api import ErrorFormat, Middleware, Route, StorageUnavailable
from rolehost.api.http import Invalid, decode, read
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import Application, build
from rolehost.services.threads import QUEUE_PER_THREAD
from structlog.testing import capture_logs

from tests.http.asgi import Answer, ask, call
from tests.http.compositions import compose
from tests.http.fakes import FakeServices

QUIET = {"request_id": False, "access_log": False}


class Host:
    """Applications that are closed at the end of the test."""

    def __init__(self) -> None:
        self.services = FakeServices()
        self.recorders = Recorders()
        self._built: list[Application] = []

    def app(self, *routes: Route, backends: Any = None, **settings: Any) -> Any:
        composition = compose(routes, backends=backends, **{**QUIET, **settings})
        application = build(
            composition,
            self.services,  # type: ignore[arg-type]
            self.recorders,
        )
        self._built.append(application)
        return application.asgi

    def close(self) -> None:
        for application in self._built:
            application.close()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


class Grouped:
    def on_get(self, req: Any, resp: Any) -> None:
        raise ExceptionGroup("several", [falcon.HTTPConflict()])


def test_a_group_of_ordinary_exceptions_stays_what_it_is(host: Host) -> None:
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


class Items:
    async def on_get(self, req: Any, resp: Any, item: str) -> None:
        resp.media = {"item": item, "services": id(req.context.services)}

    async def on_post(self, req: Any, resp: Any, item: str) -> None:
        resp.data = await read(req)


class Threaded:
    def on_post(self, req: Any, resp: Any) -> None:
        resp.media = {
            "length": len(req.context.body),
            "thread": threading.current_thread().name.partition("_")[0],
            "bound": structlog.contextvars.get_contextvars().get("request_id"),
        }

    def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"body": req.context.body.decode()}


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def on_get(self, req: Any, resp: Any) -> None:
        raise self.error

    def on_post(self, req: Any, resp: Any) -> None:
        raise self.error


def problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "about:blank"
    assert answer.json["status"] == answer.status
    return dict(answer.json)


# Responders


def test_an_asynchronous_responder_finds_the_services_in_its_context(host: Host) -> None:
    answer = ask(host.app(Route("/items/{item}", Items())), "GET", "/items/7")
    assert answer.json == {"item": "7", "services": id(host.services)}


def test_asynchronous_responders_are_given_to_falcon_untouched(host: Host) -> None:
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


def test_more_requests_than_threads_and_queue_can_hold_are_told_to_come_again(host: Host) -> None:
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


# Bodies


def test_a_declared_body_above_the_limit_is_refused_before_anything_is_read(host: Host) -> None:
    class Late:
        async def on_post(self, req: Any, resp: Any) -> None:
            raise AssertionError("called")

    app = host.app(Route("/late", Late()), max_body=10)
    read_when_answered = []

    async def run() -> Answer:
        chunks = [b"x" * 11]

        async def receive() -> dict[str, Any]:
            read_when_answered.append(bool(sent))
            return {"type": "http.request", "body": chunks.pop(), "more_body": False}

        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/late",
            "headers": [(b"content-length", b"11")],
        }
        await app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, sent[1]["body"])

    answer = asyncio.run(run())
    assert problem(answer)["code"] == "content_too_large"
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert all(read_when_answered), "the body was read before the answer"


@pytest.mark.parametrize("resource", [Items(), Threaded()])
def test_a_body_without_declared_length_is_counted_while_it_is_read(
    host: Host, resource: Any
) -> None:
    path = "/items/{item}" if isinstance(resource, Items) else "/threaded"
    app = host.app(Route(path, resource), max_body=10)
    url = path.replace("{item}", "1")
    assert ask(app, "POST", url, body=[b"12345", b"67890"]).status == 200
    answer = ask(app, "POST", url, body=[b"12345", b"67890", b"x", b"y"])
    assert (answer.status, problem(answer)["code"]) == (413, "content_too_large")
    assert ask(app, "POST", url, body=[b"x" * 11, b""]).status == 413


def test_the_body_of_a_get_is_bounded_too(host: Host) -> None:
    class Reads:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.data = await read(req)

    app = host.app(Route("/reads", Reads()), max_body=4)
    assert ask(app, "GET", "/reads", body=[b"ab", b"cd"]).body == b"abcd"
    assert ask(app, "GET", "/reads", body=[b"ab", b"cd", b"e"]).status == 413


def test_a_route_may_allow_more_or_less_than_the_others(host: Host) -> None:
    app = host.app(
        Route("/small", Threaded(), max_body=3),
        Route("/usual", Threaded()),
        Route("/large/{item}", Items(), max_body=30),
        max_body=10,
    )
    sizes = {"/small": 3, "/usual": 10, "/large/1": 30, "/nowhere": 10}
    for path, most in sizes.items():
        fits = 404 if path == "/nowhere" else 200
        assert ask(app, "POST", path, body=b"x" * most).status == fits
        assert ask(app, "POST", path, body=b"x" * (most + 1)).status == 413
        if fits == 200:
            assert ask(app, "POST", path, body=[b"x" * most, b"x"]).status == 413


def test_a_client_that_leaves_amid_its_body_never_reaches_the_responder(host: Host) -> None:
    called = []

    class Counts:
        def on_post(self, req: Any, resp: Any) -> None:
            called.append(req.context.body)

    answer = ask(host.app(Route("/c", Counts())), "POST", "/c", body=[b"half"], ends=False)
    assert (answer.status, called) == (408, [])


def test_a_client_that_declares_a_body_and_sends_none_is_told_so(host: Host) -> None:
    app = host.app(Route("/t", Threaded()))
    answer = ask(app, "POST", "/t", body=[], headers={"content-length": "5"})
    assert (answer.status, problem(answer)["code"]) == (408, "request_timeout")


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/items/1", 405, "method_not_allowed"),
        ("GET", "/raises", 500, "internal_server_error"),
    ],
)
def test_errors_are_problem_details(
    host: Host, method: str, path: str, status: int, code: str
) -> None:
    app = host.app(
        Route("/items/{item}", Items()), Route("/raises", Raises(RuntimeError("internals")))
    )
    with capture_logs():
        answer = ask(app, method, path)
    shown = problem(answer)
    assert (answer.status, shown["code"]) == (status, code)
    assert b"internals" not in answer.body
    assert not shown["title"].startswith(str(status))


def test_the_request_id_is_the_instance_of_a_problem(host: Host) -> None:
    answer = ask(
        host.app(request_id=True), "GET", "/x", headers={"x-request-id": "a b".replace(" ", "/")}
    )
    assert problem(answer)["instance"] == "a%2Fb"


def test_an_unhandled_exception_is_logged_with_its_request(host: Host) -> None:
    app = host.app(Route("/raises", Raises(RuntimeError("internals"))))
    for method in ("GET", "POST"):
        with capture_logs() as lines:
            assert ask(app, method, "/raises").status == 500
        (line,) = [each for each in lines if each["log_level"] == "error"]
        assert (line["method"], line["path"]) == (method, "/raises")
        assert str(line["exc_info"]) == "internals"


def test_unavailable_storage_is_503_and_asks_to_come_again(host: Host) -> None:
    app = host.app(Route("/raises", Raises(StorageUnavailable("disk full at /secret"))))
    with capture_logs():
        answer = ask(app, "POST", "/raises")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"secret" not in answer.body


def test_malformed_json_is_400_and_json_of_another_form_422(host: Host) -> None:
    class Person(msgspec.Struct):
        name: str

    class Decodes:
        def on_post(self, req: Any, resp: Any) -> None:
            resp.media = decode(req.context.body, Person).name

    class Media:
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.media = await req.get_media()

    app = host.app(Route("/decodes", Decodes()), Route("/media", Media()))
    kind = {"content-type": "application/json"}
    for path in ("/decodes", "/media"):
        malformed = ask(app, "POST", path, body=b'{"name":', headers=kind)
        assert (malformed.status, problem(malformed)["code"]) == (400, "malformed_json")
    unfit = ask(app, "POST", "/decodes", body=b'{"name": 1}')
    assert unfit.status == 422
    assert problem(unfit)["errors"] == [
        {"loc": ["body", "name"], "msg": "Expected `str`, got `int`", "type": "value_error"}
    ]


def test_errors_below_a_prefix_look_as_its_longest_format_says(host: Host) -> None:
    def rendering(name: str) -> Any:
        def render(status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
            shown = {"by": name, "status": status, "detail": detail, "code": code}
            return "application/json", json.dumps(shown).encode()

        return render

    errors = [{"loc": ["body"], "msg": "no", "type": "value_error"}]
    composition = compose(
        [Route("/api/v1/invalid", Raises(Invalid(errors)))],
        formats=[ErrorFormat("/api", rendering("api")), ErrorFormat("/api/v1", rendering("v1"))],
        max_body=5,
        **QUIET,
    )
    services: Any = host.services
    application = build(composition, services, host.recorders)
    app = application.asgi
    assert ask(app, "GET", "/api/v1/invalid").json == {
        "by": "v1",
        "status": 422,
        "detail": errors,
        "code": "validation_error",
    }
    assert ask(app, "GET", "/api/v1/x").json["by"] == "v1"
    assert ask(app, "POST", "/api/v1/x", body=b"123456").json["code"] == "content_too_large"
    assert ask(app, "GET", "/api/v10").json["by"] == "api"
    assert problem(ask(app, "GET", "/apis"))["code"] == "not_found"
    application.close()


# What is told of requests


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


def test_every_request_has_an_id_of_its_own(host: Host) -> None:
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


def test_recorders_are_told_template_and_status(host: Host) -> None:
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


# Idempotency


class Creates:
    def __init__(self) -> None:
        self.made = 0

    def on_post(self, req: Any, resp: Any) -> None:
        if req.context.body == b"fail":
            raise falcon.HTTPBadRequest(description="no")
        self.made += 1
        resp.status = 201
        resp.set_header("x-made", str(self.made))
        resp.media = {"made": self.made}

    def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"made": self.made}


def test_the_same_key_and_body_give_the_stored_response(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    first = ask(app, "POST", "/make", body=b"{}", headers=key)
    again = ask(app, "POST", "/make", body=b"{}", headers=key)
    assert (first.status, first.body) == (again.status, again.body) == (201, b'{"made":1}')
    assert again.headers["x-made"] == "1"
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_the_same_key_with_another_body_or_query_is_422(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    ask(app, "POST", "/make", body=b"{}", headers=key)
    for path, body in (("/make", b"[]"), ("/make?x=1", b"{}")):
        answer = ask(app, "POST", path, body=body, headers=key)
        assert (answer.status, problem(answer)["code"]) == (422, "idempotency_conflict")


def test_a_key_belongs_to_its_method_and_path(host: Host) -> None:
    creates = Creates()
    app = host.app(
        Route(
            "/a/{x}",
            type("R", (), {"on_post": lambda self, req, resp, x: creates.on_post(req, resp)})(),
            idempotent=True,
        )
    )
    key = {"idempotency-key": "k1"}
    assert ask(app, "POST", "/a/1", body=b"{}", headers=key).json == {"made": 1}
    assert ask(app, "POST", "/a/2", body=b"{}", headers=key).json == {"made": 2}


def test_a_key_whose_request_is_running_is_409(host: Host) -> None:
    host.services.running.add("POST /make k1")
    app = host.app(Route("/make", Creates(), idempotent=True))
    answer = ask(app, "POST", "/make", headers={"idempotency-key": "k1"})
    assert (answer.status, problem(answer)["code"]) == (409, "idempotency_in_progress")


def test_a_refused_request_is_not_stored(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    assert ask(app, "POST", "/make", body=b"fail", headers=key).status == 400
    assert host.services.responses == {}


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_unfit_key_is_400(host: Host, key: str) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    answer = ask(app, "POST", "/make", headers={"idempotency-key": key})
    assert (answer.status, problem(answer)["code"]) == (400, "bad_idempotency_key")


def test_without_a_key_or_on_other_methods_every_request_runs(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    made = [ask(app, "POST", "/make", body=b"{}").json["made"] for _ in range(2)]
    assert made == [1, 2]
    key = {"idempotency-key": "k"}
    assert ask(app, "GET", "/make", headers=key).json == {"made": 2}
    assert host.services.responses == {}
