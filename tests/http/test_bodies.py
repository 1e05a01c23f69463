"""Bodies of requests, and their limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rolehost.api import Route
from rolehost.api.http import read

from tests.http.asgi import Answer, ask
from tests.http.hosts import Host, Items, Threaded, problem


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


def test_a_declared_body_that_is_not_sent_is_an_error(host: Host) -> None:
    app = host.app(Route("/t", Threaded()))
    answer = ask(app, "POST", "/t", body=[], headers={"content-length": "5"})
    assert (answer.status, problem(answer)["code"]) == (408, "request_timeout")
