"""An application with the plugin, called as clients call it, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from rolehost import schema
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.http.application import build
from rolehost.roles.process import Process
from rolehost.services import ProcessServices

from .shop import BATCHES, SHOP, SOLD, TILL, plugin

#: What a client of today sends.
ACCEPT = "application/graphql-response+json, application/json;q=0.9"


@dataclass
class Answer:
    """What the application sent."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.content)


@dataclass
class Api:
    """A running application."""

    asgi: Any

    def request(
        self,
        method: str,
        path: str = "/graphql",
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        body: bytes | str = b"",
    ) -> Answer:
        """Send one request."""
        content = body.encode() if isinstance(body, str) else body
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(params or {}).encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"content-length": str(len(content)), **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.asgi(scope, receive, send))
        return Answer(
            sent[0]["status"],
            {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    def post(self, query: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        """Send a document; return the response."""
        return self.request(
            "POST",
            headers={"Content-Type": "application/json", "Accept": ACCEPT, **(headers or {})},
            body=json.dumps({"query": query, **body}),
        )

    def ask(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
        """Send a document; return the decoded answer."""
        return self.post(query, headers, variables=variables).json

    def codes(self, query: str, **variables: Any) -> list[str]:
        """Return the codes of the errors of a document."""
        return [each["extensions"]["code"] for each in self.ask(query, **variables)["errors"]]


Serve = Callable[..., Api]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Make an application of plugins and settings."""
    with ExitStack() as stack:

        def make(
            *given: str, environment: str = "development", database: bool = False, **plugins: Any
        ) -> Api:
            plugins = plugins or {"shop": plugin(SHOP)}
            names = ["graphql", *plugins, *(["embedded"] if database else [])]
            file = tmp_path / "rolehost.toml"
            file.write_text(
                f"plugins = {names}\n[deployment]\nenvironment = '{environment}'\n[http]\n"
                + "threads = 2\naccess_log = false\n[graphql]\n"
                + "\n".join(given)
                + ("\n[embedded]\npath = 'test.db'\n" if database else "\n")
            )
            composition = compose(load(file), extra=plugins)
            if database:
                migrating = ProcessServices(composition, role="command")
                schema.up(migrating.database, [schema.HOST_SET, *composition.schema_sets])
                migrating.close()
            process = Process(composition, role="http")
            process.start()
            stack.callback(process.stop)
            services: Any = process.services
            application = build(
                composition, services, services.recorders, composition.deployment.host
            )
            stack.callback(application.close)
            return Api(application.asgi)

        yield make


@pytest.fixture
def api(serve: Serve) -> Api:
    """The shop, where nothing can be bought."""
    return serve()


@pytest.fixture
def till(serve: Serve) -> Api:
    """The shop, with mutations."""
    return serve(database=True, shop=plugin(TILL))


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Each test begins with nothing done."""
    BATCHES.clear()
    SOLD.clear()
