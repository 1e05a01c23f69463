"""A program that serves a few routes as the role http does: ``python served.py SETTINGS``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import falcon
from compositions import compose
from falcon.asgi import SSEvent
from rolehost.api import Backend, Route, hookimpl
from rolehost.api.http import decode, read
from rolehost.errors import StartError, StorageRefused, StorageUnavailable
from rolehost.observe import logs
from rolehost.roles.http.server import run
from rolehost.roles.process import Process


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


class Hello:
    async def on_get(self, req, resp):
        resp.media = {"hello": "world", "pid": os.getpid()}


class Ready:
    async def on_get(self, req, resp):
        resp.status = 503 if req.context.services.draining else 200


class Echo:
    async def on_post(self, req, resp):
        resp.data = await read(req)


class Length:
    def on_post(self, req, resp):
        resp.media = {"length": len(req.context.body)}


class Decoded:
    def on_post(self, req, resp):
        resp.media = decode(req.context.body, dict)


class Heavy:
    async def on_get(self, req, resp):
        resp.data = b"x" * int(req.get_param("bytes"))


class Endless:
    """A stream, in chunks or as events, that reports its end."""

    async def on_get(self, req, resp):
        resp.stream = self._chunks(b"x" * int(req.get_param("bytes")))

    async def _chunks(self, chunk):
        try:
            while True:
                yield chunk
                await asyncio.sleep(0.001)
        finally:
            say("the stream ended")


class Slow:
    async def on_get(self, req, resp):
        say("slow request is running")
        await asyncio.sleep(float(req.get_param("seconds")))
        resp.media = {"slept": True}


class SlowThread:
    def on_get(self, req, resp):
        say("slow request is running")
        time.sleep(float(req.get_param("seconds")))
        resp.media = {"slept": True}


class Boom:
    async def on_get(self, req, resp):
        raise RuntimeError("the secret of the house")


class Events:
    async def on_get(self, req, resp):
        async def events():
            try:
                yield SSEvent(text="first")
                await asyncio.Event().wait()
            finally:
                say("events ended")

        resp.sse = events()


class Socket:
    async def on_websocket(self, req, ws):
        await ws.accept()
        await ws.send_text("hello")
        try:
            await ws.receive_text()
        except falcon.WebSocketDisconnected:
            say("socket ended")


class Waits:
    """A cache that answers if a file exists, and refuses if the file asks for it."""

    def ping(self):
        there = Path(os.environ["SERVED_WAITS"])
        if not there.exists():
            raise StorageUnavailable("fake: away")
        if there.read_text() == "refused":
            raise StorageRefused("fake: refused")

    def close(self):
        pass


class Module:
    @hookimpl
    def rolehost_start(self, context):
        if os.environ.get("SERVED_FAILS"):
            raise StartError("the sample cannot start here")
        say("started")

    @hookimpl
    def rolehost_stop(self, context):
        say("stopped")


ROUTES = [
    Route("/hello", Hello()),
    Route("/early", Hello(), waiting=True),
    Route("/readyz", Ready()),
    Route("/echo", Echo()),
    Route("/length", Length()),
    Route("/decoded", Decoded()),
    Route("/heavy", Heavy()),
    Route("/endless", Endless()),
    Route("/slow", Slow()),
    Route("/slow-thread", SlowThread()),
    Route("/boom", Boom()),
    Route("/events", Events()),
    Route("/socket", Socket()),
    Route("/small", Echo(), max_body=10),
    Route("/large", Length(), max_body=5_000_000),
]


def main() -> int:
    waits = Backend(kind="cache", name="fake", factory=Waits, capabilities=frozenset())
    backends = {"cache": waits} if "SERVED_WAITS" in os.environ else {}
    composition = compose(ROUTES, module=Module(), backends=backends, **json.loads(sys.argv[1]))
    logs.configure(composition.deployment.host.log, deployment="test", role="http", slot=0)
    process = Process(composition, role="http", announce=say)
    try:
        return run(process)
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4


if __name__ == "__main__":
    assert falcon
    sys.exit(main())
