"""Responses that cannot be encoded, and streams that end when the process drains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import falcon.asgi
import pytest
from rolehost.api import ErrorFormat, Route
from rolehost.observe.recorders import Recorders
from rolehost.roles.http.application import build
from rolehost.roles.http.responses import EventStreams
from structlog.testing import capture_logs

from tests.http.asgi import ask
from tests.http.compositions import compose
from tests.http.fakes import FakeServices

QUIET = {"request_id": False, "access_log": False}


def endless() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def set_header(resp: Any, value: str) -> None:
    resp.set_header("X-Name", value)


def set_cookie(resp: Any) -> None:
    resp.set_cookie("name", "value", path="/\u20ac")


BROKEN: dict[str, Any] = {
    "an object": lambda resp: setattr(resp, "media", {"a": object()}),
    "recursion": lambda resp: setattr(resp, "media", endless()),
    "half a pair": lambda resp: setattr(resp, "media", {"a": "\ud800"}),
    "a media type": lambda resp: (
        setattr(resp, "content_type", "application/x-none"),
        setattr(resp, "media", 1),
    ),
    "data that is text": lambda resp: setattr(resp, "data", "text"),
    "data that is a number": lambda resp: setattr(resp, "data", 5),
    "text that is a number": lambda resp: setattr(resp, "text", 5),
    "text of half a pair": lambda resp: setattr(resp, "text", "\ud800"),
    "a header beyond latin-1": lambda resp: set_header(resp, "\u20ac"),
    "a header with a line end": lambda resp: set_header(resp, "a\r\nX-Evil: 1"),
    "an appended header": lambda resp: resp.append_header("Set-Cookie", "a=\u20ac"),
    "a cookie": set_cookie,
    "a status that is none": lambda resp: setattr(resp, "status", "fine"),
    "a status that ends nothing": lambda resp: setattr(resp, "status", 103),
}


@pytest.fixture
def app() -> Iterator[Any]:
    closes = []

    def make(*routes: Route) -> Any:
        composition = compose(routes, **QUIET)
        services: Any = FakeServices()
        built = build(composition, services, Recorders())
        closes.append(built.close)
        return built.asgi

    yield make
    for close in closes:
        close()


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("synchronous", [True, False])
def test_a_response_that_cannot_be_encoded_is_a_problem_and_one_log_line(
    app: Any, kind: str, synchronous: bool
) -> None:
    class Things:
        def on_get(self, req: Any, resp: Any, **_: Any) -> None:
            BROKEN[kind](resp)

        async def on_post(self, req: Any, resp: Any, **_: Any) -> None:
            BROKEN[kind](resp)

    with capture_logs() as logs:
        answer = ask(
            app(Route("/things/{name}", Things())), "GET" if synchronous else "POST", "/things/1"
        )
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "unencodable_answer"
    assert "x-evil" not in answer.headers
    (line,) = [each for each in logs if each["log_level"] == "error"]
    assert line["event"] == "a response cannot be encoded"
    assert "/things/{name}: Things at tests.http.test_responses:" in line["responder"]


@pytest.mark.parametrize("value", ["plain", "caf\xe9", "with\ttab"])
def test_headers_that_can_be_sent_are(app: Any, value: str) -> None:
    class Things:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.set_header("X-Name", value)
            resp.data = bytearray(b"bytes")

    # Bytes of headers are latin-1 on the wire.
    answer = ask(app(Route("/things", Things())), "GET", "/things")
    assert answer.status == 200
    assert answer.body == b"bytes"


def test_a_format_of_errors_that_fails_gives_a_problem_without_details() -> None:
    class Things:
        async def on_get(self, req: Any, resp: Any) -> None:
            raise falcon.HTTPNotFound(description="gone")

    def render(*_: Any) -> Any:
        raise RuntimeError("the format fails")

    composition = compose(
        [Route("/things", Things())], formats=[ErrorFormat("/things", render)], **QUIET
    )
    services: Any = FakeServices()
    built = build(composition, services, Recorders())
    with capture_logs() as logs:
        answer = ask(built.asgi, "GET", "/things")
    built.close()
    assert (answer.status, answer.json) == (404, {"type": "about:blank", "status": 404})
    assert [each["event"] for each in logs] == ["an error cannot be rendered"]


def test_streams_end_at_their_next_wait_and_run_their_finally() -> None:
    ended: list[str] = []

    async def events(name: str, count: int) -> Any:
        try:
            for number in range(count):
                yield number
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def read(streams: EventStreams, name: str, count: int) -> list[int]:
        return [event async for event in streams.until_drain(events(name, count))]

    async def run() -> tuple[list[int], list[int]]:
        streams = EventStreams()
        waiting = asyncio.create_task(read(streams, "waits", 3))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        streams.end()
        late = await read(streams, "late", 3)
        return await waiting, late

    assert asyncio.run(run()) == ([0, 1, 2], [])
    assert "waits" in ended


def test_a_stream_that_fails_fails_as_without_the_host() -> None:
    async def events() -> Any:
        yield 1
        raise ValueError("the emitter fails")

    async def run() -> list[int]:
        return [event async for event in EventStreams().until_drain(events())]

    with pytest.raises(ValueError, match="the emitter fails"):
        asyncio.run(run())
