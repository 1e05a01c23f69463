"""Call an ASGI application as the server does: each request in a separate task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    asked: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Any,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
    ends: bool = True,
    raw_headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """Send one request; several chunks make a body without declared length.

    With ``ends=False`` the client leaves after the last chunk, before the body is complete.
    """
    chunks = [body] if isinstance(body, bytes) else list(body)
    answer = Answer()

    async def receive() -> dict[str, Any]:
        answer.asked += 1
        if not chunks:
            return {"type": "http.disconnect"}
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks) or not ends}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status, "answered twice"
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope = scope_of(method, path, headers or {}, body, raw_headers)
    await asyncio.create_task(app(scope, receive, send))
    return answer


def scope_of(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | Sequence[bytes],
    raw_headers: Sequence[tuple[bytes, bytes]],
) -> dict[str, Any]:
    fields = {"host": "localhost"}
    if body:
        fields["content-type"] = "application/json"
    fields |= {name.lower(): value for name, value in headers.items()}
    given = [(name.encode(), value.encode()) for name, value in fields.items()]
    if isinstance(body, bytes) and body and "content-length" not in dict(given):
        given.append((b"content-length", str(len(body)).encode()))
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [*given, *raw_headers],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5),
    }


def ask(app: Any, method: str, path: str, **more: Any) -> Answer:
    return asyncio.run(call(app, method, path, **more))
