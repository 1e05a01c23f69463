"""An HTTP client that calls the host's ASGI application directly, without server or socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import copy_context
from typing import Any, TypedDict, Unpack
from urllib.parse import quote, unquote, urlencode

import msgspec
from rolehost.delivery.guard import role_loop

Asgi = Callable[[dict[str, Any], Any, Any], Any]
Call = Callable[[], Coroutine[Any, Any, None]]

#: Characters of a path that are sent unchanged: printable ASCII except the space.
_SENT_AS_IT_IS = "".join(map(chr, range(0x21, 0x7F)))

#: Maximum number of body characters in ``repr(response)``.
_SHOWN = 300


class Headers(Mapping[str, str]):
    """Header fields by case-insensitive name; repeated fields are joined by commas."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            self._fields[key] = f"{self._fields[key]}, {value}" if key in self._fields else value

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(self._fields)


class Response:
    """An HTTP response.

    Attributes:
        status: the status code.
        headers: by case-insensitive name.
        body: the body as bytes.
    """

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = Headers(headers)
        self.body = body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body decoded from JSON; each access decodes it again.

        Raises:
            ValueError: the body is not JSON; the message shows the response.
        """
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise ValueError(f"no JSON in {self!r}: {error}") from None

    def __repr__(self) -> str:
        kind = self.headers.get("content-type", "no content type")
        return f"<Response {self.status} {kind} {self.text[:_SHOWN]}>"


class Loop:
    """An event loop that requests share, because a new loop costs more than most requests.

    At the end of a request, tasks that it started and did not await are cancelled.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._free = threading.Lock()

    def run(self, call: Call) -> None:
        """Run a coroutine until it is done.

        If the test itself runs in an event loop, run it in another thread. If another thread
        uses the shared loop at the moment, run it in a new loop.
        """
        if _running():
            _beside(call)
        elif self._free.acquire(blocking=False):
            try:
                self._runner.run(_alone(call), context=copy_context())
            finally:
                self._free.release()
        else:
            asyncio.run(call())

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()


def _running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _alone(call: Call) -> None:
    try:
        await call()
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.gather(*left, return_exceptions=True)


def _beside(call: Call) -> None:
    """Run a coroutine in a new event loop in another thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="kit-client")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


class RequestOptions(TypedDict, total=False):
    """Keyword arguments of :meth:`Client.request`."""

    json: Any
    body: bytes | str | None
    params: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    idempotency_key: str | None


class Client:
    """Sends requests to the application of a host, one at a time, and waits for each response.

    Args:
        application: returns the ASGI callable; called for each request.
        around: wraps each request, so that the host can run code before and after it.
        headers: sent with every request.
        loop: the event loop of the requests; the caller closes it.
    """

    def __init__(
        self,
        application: Callable[[], Asgi],
        around: Callable[[Callable[[], Response]], Response],
        loop: Loop,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._application = application
        self._around = around
        self._loop = loop
        self.headers = dict(headers or {})

    def with_headers(self, **headers: str) -> Client:
        """Return a client that also sends these headers: ``authorization="Bearer x"``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self._application, self._around, self._loop, {**self.headers, **named})

    def get(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a GET request; for the options, see :meth:`request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a POST request; for the options, see :meth:`request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a PUT request; for the options, see :meth:`request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a PATCH request; for the options, see :meth:`request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a DELETE request; for the options, see :meth:`request`."""
        return self.request("DELETE", path, **options)

    def head(self, path: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a HEAD request; for the options, see :meth:`request`."""
        return self.request("HEAD", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Response:
        """Send one request and return the response, also if its status is an error.

        Args:
            method: GET, POST, …
            path: with or without a query; characters outside ASCII are percent-encoded.
            json: any value that msgspec encodes; sent as the body with its content type.
            body: the body, sent unchanged.
            params: added to the query; a list repeats the parameter.
            headers: sent in addition to the client's headers.
            idempotency_key: sent as ``Idempotency-Key``.

        Raises:
            ValueError: both ``json`` and ``body`` are given.
        """
        if json is not None and body is not None:
            raise ValueError("give json or body, not both")
        sent = dict(self.headers)
        if json is not None:
            body = msgspec.json.encode(json)
            sent["content-type"] = "application/json"
        if idempotency_key is not None:
            sent["idempotency-key"] = idempotency_key
        sent.update(headers or {})
        data = body.encode() if isinstance(body, str) else body or b""
        if params:
            separator = "&" if "?" in path else "?"
            path = f"{path}{separator}{urlencode(params, doseq=True)}"
        scope = _scope(method, path, sent, data)
        return self._around(lambda: _answer(self._application(), scope, data, self._loop))


def _scope(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    path, _, query = path.partition("?")
    fields = {name.lower(): value for name, value in headers.items()}
    fields.setdefault("host", "localhost")
    if body:
        fields.setdefault("content-length", str(len(body)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(path, safe=_SENT_AS_IT_IS).encode("ascii"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 50000),
    }


def _answer(application: Asgi, scope: dict[str, Any], body: bytes, loop: Loop) -> Response:
    """Run the application for one request."""
    status = 0
    fields: list[tuple[str, str]] = []
    parts: list[bytes] = []

    async def call() -> None:
        events: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if events:
                return events.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                fields.extend(
                    (k.decode("latin-1"), v.decode("latin-1")) for k, v in message["headers"]
                )
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    over.set()

        with role_loop(asyncio.get_running_loop()):
            await application(scope, receive, send)

    loop.run(call)
    return Response(status, fields, b"".join(parts))
