"""Access to routes, with any request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import falcon
import pytest
from rolehost.api import Authentication, ErrorFormat, Middleware, Route, Secret, StorageUnavailable
from rolehost.api.http import bearer
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import build
from structlog.testing import capture_logs

from tests.http.asgi import Answer, ask
from tests.http.compositions import compose
from tests.http.fakes import FakeServices

QUIET = {"request_id": False, "access_log": False}

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

Apps = Callable[..., Any]


class Counted:
    """A responder that counts its calls."""

    def __init__(self) -> None:
        self.ran = 0

    async def on_get(self, req: Any, resp: Any, **_: Any) -> None:
        self.ran += 1

    def on_post(self, req: Any, resp: Any, **_: Any) -> None:
        self.ran += 1

    async def on_websocket(self, req: Any, ws: Any, **_: Any) -> None:
        self.ran += 1
        await ws.accept()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def app() -> Iterator[Apps]:
    built = []

    def make(*routes: Route, **more: Any) -> Any:
        composition = compose(routes, **{**QUIET, "authentication": "required", **more})
        services: Any = FakeServices()
        built.append(build(composition, services, Recorders()))
        return built[-1].asgi

    yield make
    for each in built:
        each.close()


def closed(admits: Any, **more: Any) -> dict[str, Any]:
    return {"authentications": [Authentication(admits=admits, **more)]}


# Authentication of a plugin


@pytest.mark.parametrize("method", METHODS)
def test_no_method_is_answered_without_credentials(
    app: Apps, counted: Counted, method: str
) -> None:
    asgi = app(Route("/x/{y}", counted), authentications=[bearer(Secret("t"))])
    answer = ask(asgi, method, "/x/1")
    assert (answer.status, counted.ran) == (401, 0)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer righ", 401),
        ("Bearer rightt", 401),
        ("Bearer r\u00efght", 401),
    ],
)
def test_a_bearer_token_is_the_whole_token(
    app: Apps, counted: Counted, sent: str, status: int
) -> None:
    asgi = app(Route("/x", counted), authentications=[bearer(Secret("right"))])
    assert ask(asgi, "GET", "/x", headers={"authorization": sent}).status == status
    assert counted.ran == (status == 200)


def test_an_empty_token_admits_no_request(app: Apps, counted: Counted) -> None:
    asgi = app(Route("/x", counted), authentications=[bearer(Secret(""))])
    for sent in ("Bearer ", "Bearer"):
        assert ask(asgi, "GET", "/x", headers={"authorization": sent}).status == 401


def test_only_routes_that_are_declared_open_are_open(app: Apps, counted: Counted) -> None:
    open_one = Counted()
    asgi = app(
        Route("/x", counted),
        Route("/health", open_one, open="probes send no token"),
        authentications=[bearer(Secret("t"))],
    )
    assert ask(asgi, "GET", "/health").status == 200
    assert ask(asgi, "GET", "/x").status == 401
    assert (open_one.ran, counted.ran) == (1, 0)


async def coroutine(_req: Any) -> bool:
    return True


def raises(error: BaseException) -> Callable[[Any], bool]:
    def admits(_req: Any) -> bool:
        raise error

    return admits


@pytest.mark.parametrize(
    ("admits", "status"),
    [
        (lambda _req: None, 401),
        (lambda _req: 1, 401),
        (lambda _req: "somebody", 401),
        (lambda _req: object(), 401),
        (raises(falcon.HTTPStatus(200)), 401),
        (raises(falcon.HTTPError(200)), 401),
        (raises(falcon.HTTPMovedPermanently("/other")), 401),
        (raises(falcon.HTTPForbidden()), 403),
        (raises(StorageUnavailable("away")), 503),
        (raises(RuntimeError("broken")), 500),
        (raises(SystemExit(0)), 500),
        (raises(KeyboardInterrupt()), 500),
        (raises(GeneratorExit()), 500),
        (raises(asyncio.CancelledError()), 500),
        (None, 500),
    ],
)
def test_an_authentication_that_fails_refuses(
    app: Apps, counted: Counted, admits: Any, status: int
) -> None:
    asgi = app(Route("/x", counted), **closed(admits))
    with capture_logs():
        assert (ask(asgi, "GET", "/x").status, counted.ran) == (status, 0)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_coroutine_is_no_admission(app: Apps, counted: Counted) -> None:
    asgi = app(Route("/x", counted), **closed(coroutine))
    assert (ask(asgi, "GET", "/x").status, counted.ran) == (401, 0)


class Both(Counted):
    async def on_get_read(self, req: Any, resp: Any) -> None:
        self.ran += 1


@pytest.mark.parametrize("open_first", [True, False])
def test_each_route_of_one_path_has_its_own_rules(
    app: Apps, counted: Counted, open_first: bool
) -> None:
    class Writes:
        async def on_put(self, req: Any, resp: Any) -> None:
            counted.ran += 1

    read = Route("/x", Both(), suffix="read", open="everybody may read")
    write = Route("/x", Writes(), max_body=3)
    routes = (read, write) if open_first else (write, read)
    asgi = app(*routes, authentications=[bearer(Secret("t"))])
    token = {"authorization": "Bearer t"}
    assert ask(asgi, "GET", "/x").status == 200
    assert ask(asgi, "PUT", "/x").status == 401
    assert ask(asgi, "PUT", "/x", headers=token).status == 200
    assert ask(asgi, "PUT", "/x", headers=token, body=b"1234").status == 413
    assert ask(asgi, "OPTIONS", "/x").status == 401
    assert ask(asgi, "DELETE", "/x").status == 401
    assert counted.ran == 1


def test_middleware_cannot_lead_a_request_to_another_route(app: Apps, counted: Counted) -> None:
    class Rewrites:
        async def process_request(self, req: Any, _resp: Any) -> None:
            req.path = "/secret"

    other = Counted()
    asgi = app(
        Route("/open", other, open="for this test"),
        Route("/secret", counted),
        middleware=[Middleware("rewrites", Rewrites())],
        authentications=[bearer(Secret("t"))],
    )
    assert ask(asgi, "GET", "/open").status == 200
    assert (other.ran, counted.ran) == (1, 0)


def test_a_refusal_has_the_error_format_of_its_route(app: Apps, counted: Counted) -> None:
    def render(status: int, _title: str, detail: Any, code: str) -> tuple[str, bytes]:
        return "text/plain", f"{status} {detail} {code}".encode()

    asgi = app(
        Route("/x/{y}", counted),
        formats=[ErrorFormat("/x", render)],
        authentications=[bearer(Secret("t"))],
    )
    assert ask(asgi, "GET", "/x/1").body == b"401 Invalid token authentication_failed"
    assert ask(asgi, "GET", "/x/1/2").body.startswith(b"404")
    assert ask(asgi, "GET", "//x/1").headers["content-type"] == "application/problem+json"


def test_a_key_is_one_key_for_every_spelling_of_a_path(app: Apps, counted: Counted) -> None:
    asgi = app(Route("/x/{y}", counted, idempotent=True, trailing_slash=True))
    for path in ("/x/ab", "/x/%61b", "/x/ab/"):
        answer = ask(asgi, "POST", path, headers={"idempotency-key": "k"})
        assert answer.status == 200
    assert counted.ran == 1


# WebSockets


def connect(app: Any, path: str, **headers: str) -> list[str]:
    """Return the messages that a WebSocket's client receives."""
    sent: list[str] = []
    come = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return come.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": given,
    }
    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("path", ["/x", "//x", "/%78", "/x/"])
def test_a_websocket_is_not_accepted_without_credentials(
    app: Apps, counted: Counted, path: str
) -> None:
    asgi = app(Route("/x", counted), authentications=[bearer(Secret("t"))])
    assert connect(asgi, path, host="localhost") == ["websocket.close"]
    assert counted.ran == 0
    assert "websocket.accept" in connect(asgi, "/x", authorization="Bearer t")


def test_a_websocket_of_a_foreign_page_is_not_accepted(app: Apps, counted: Counted) -> None:
    asgi = app(Route("/x", counted))
    foreign = {"host": "localhost:8000", "origin": "http://localhost:9"}
    assert connect(asgi, "/x", **foreign) == ["websocket.close"]
    own = {"host": "localhost:8000", "origin": "http://localhost:8000"}
    assert "websocket.accept" in connect(asgi, "/x", **own)


# [http] token


def test_the_hosts_token_protects_routes_without_authentication_of_a_plugin(
    app: Apps, counted: Counted
) -> None:
    asgi = app(Route("/x", counted), token=Secret("host"))
    assert ask(asgi, "GET", "/x").status == 401
    # A token protects it, so it may be asked by any name and from any page.
    headers = {"authorization": "Bearer host", "host": "a.example", "origin": "https://b.example"}
    assert ask(asgi, "GET", "/x", headers=headers).status == 200
    assert counted.ran == 1


def test_a_plugins_own_authentication_comes_before_the_hosts_token(
    app: Apps, counted: Counted
) -> None:
    asgi = app(Route("/x", counted), token=Secret("host"), authentications=[bearer(Secret("own"))])
    assert ask(asgi, "GET", "/x", headers={"authorization": "Bearer host"}).status == 401
    assert ask(asgi, "GET", "/x", headers={"authorization": "Bearer own"}).status == 200


@pytest.mark.parametrize("who", ["proxy", "none"])
def test_with_authentication_none_the_host_requires_no_token(
    app: Apps, counted: Counted, who: str
) -> None:
    asgi = app(Route("/x", counted), authentication=who)
    headers = {"host": "a.example", "origin": "https://b.example", "content-type": "text/plain"}
    assert ask(asgi, "POST", "/x", body=b"{}", headers=headers).status == 200


# Programs of this machine


def local(app: Apps, counted: Counted, method: str = "GET", **more: Any) -> Answer:
    return ask(app(Route("/x", counted)), method, "/x", **more)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8000", "127.0.0.1:1", "127.9.9.9", "[::1]:8000", "[::ffff:127.0.0.1]"],
)
def test_a_program_of_this_machine_is_admitted(app: Apps, counted: Counted, host: str) -> None:
    assert local(app, counted, headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "10.0.0.1",
        "[::2]:8000",
        "[::1].evil.example",
        "0.0.0.0:8000",
        "2130706433",
        "0x7f000001",
        "localhost:8000:8000",
        "127.0.0.1:x",
    ],
)
def test_a_name_that_is_no_loopback_address_is_refused(
    app: Apps, counted: Counted, host: str
) -> None:
    answer = local(app, counted, headers={"host": host})
    assert (answer.status, answer.json["code"], counted.ran) == (403, "local_requests_only", 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost:8000.evil.example"},
        {"origin": "file://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "unknown"},
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_another_origin_is_refused(
    app: Apps, counted: Counted, headers: dict[str, str], method: str
) -> None:
    answer = local(app, counted, method, headers={"host": "localhost:8000", **headers})
    assert (answer.status, counted.ran) == (403, 0)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.7"},
        {"X-Forwarded-Host": "api.example"},
        {"x-real-ip": "127.0.0.1"},
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 proxy"},
    ],
)
def test_a_request_forwarded_by_a_local_proxy_is_refused(
    app: Apps, counted: Counted, headers: dict[str, str]
) -> None:
    answer = local(app, counted, headers={"host": "127.0.0.1:8000", **headers})
    assert (answer.status, answer.json["code"], counted.ran) == (403, "local_requests_only", 0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (b"host", (b"localhost", b"evil.example")),
        (b"origin", (b"http://localhost:8000", b"https://evil.example")),
        (b"sec-fetch-site", (b"none", b"cross-site")),
        (b"content-type", (b"application/json", b"text/plain")),
    ],
)
def test_a_repeated_header_that_identifies_the_page_is_refused(
    app: Apps, counted: Counted, name: bytes, values: tuple[bytes, bytes]
) -> None:
    for given in (values, values[::-1]):
        twice = [(name, value) for value in given]
        asgi = app(Route("/x", counted))
        headers = {"host": "localhost:8000"} if name != b"host" else {}
        assert ask(asgi, "GET", "/x", headers=headers, raw_headers=twice).status == 400
    assert counted.ran == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
        {"origin": "HTTP://LOCALHOST:8000"},
        {"sec-fetch-site": "none"},
    ],
)
def test_a_page_of_this_host_and_a_person_are_admitted(
    app: Apps, counted: Counted, headers: dict[str, str]
) -> None:
    answer = local(app, counted, "POST", headers={"host": "localhost:8000", **headers})
    assert (answer.status, counted.ran) == (200, 1)


@pytest.mark.parametrize(
    "media",
    [
        "",
        "text/plain",
        "text/plain; charset=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
    ],
)
@pytest.mark.parametrize("body", [b"{}", [b"{", b"}"]])
def test_a_body_that_a_page_may_send_without_preflight_is_refused(
    app: Apps, counted: Counted, media: str, body: Any
) -> None:
    headers = {"content-type": media}
    if not isinstance(body, bytes):
        headers["transfer-encoding"] = "chunked"
    assert local(app, counted, "POST", body=body, headers=headers).status == 415
    assert counted.ran == 0


@pytest.mark.parametrize("media", ["application/json", "Application/JSON ; charset=utf-8"])
def test_a_body_of_json_is_taken(app: Apps, counted: Counted, media: str) -> None:
    answer = local(app, counted, "POST", body=b"{}", headers={"content-type": media})
    assert (answer.status, counted.ran) == (200, 1)


def test_a_request_without_a_body_needs_no_type(app: Apps, counted: Counted) -> None:
    headers = {"content-length": "0", "content-type": "text/plain"}
    assert local(app, counted, "POST", headers=headers).status == 200


def test_a_probe_is_answered_by_every_name(app: Apps, counted: Counted) -> None:
    asgi = app(Route("/x", counted, open="probes send no token"))
    assert ask(asgi, "GET", "/x", headers={"host": "10.1.2.3:8000"}).status == 200
