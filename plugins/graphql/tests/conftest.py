"""A host with the plugin and others that give it parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rolehost_testing.kit import Client, Hosts, Response

from .shop import BATCHES, SHOP, SOLD, TILL, plugin

#: What a client of today sends.
ACCEPT = "application/graphql-response+json, application/json;q=0.9"


@dataclass
class Api:
    """The API of a host."""

    client: Client
    path: str = "/graphql"
    own: Mapping[tuple[str, ...], list[float]] = field(default_factory=dict)

    def get(self, headers: dict[str, str] | None = None, **params: str) -> Response:
        """Send parameters as a query string."""
        given = {"accept": ACCEPT, "x-requested-with": "tests", **(headers or {})}
        return self.client.get(self.path, params=params, headers=given)

    def post(self, query: str, headers: dict[str, str] | None = None, **body: Any) -> Response:
        """Send a document."""
        given = {"accept": ACCEPT, **(headers or {})}
        return self.client.post(self.path, json={"query": query, **body}, headers=given)

    def ask(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
        """Send a document; return the decoded answer."""
        return self.post(query, headers, variables=variables).json

    def codes(self, query: str, **variables: Any) -> list[str]:
        """Return the codes of the errors of a document."""
        errors = self.ask(query, **variables).get("errors", [])
        return [each["extensions"]["code"] for each in errors]


Serve = Callable[..., Api]


@pytest.fixture
def serve(host: Hosts) -> Serve:
    """Make an API of plugins and settings."""

    def make(
        environment: str = "development", plugins: dict[str, Any] | None = None, **settings: Any
    ) -> Api:
        given = plugins or {"shop": plugin(SHOP)}
        opened = host(
            plugins=["graphql", *given.items()],
            settings={"graphql": settings, "deployment": {"environment": environment}},
        )
        return Api(opened.client, settings.get("path", "/graphql"), opened.metrics.own)

    return make


@pytest.fixture
def api(serve: Serve) -> Api:
    """The shop, where nothing can be bought."""
    return serve()


@pytest.fixture
def till(serve: Serve) -> Api:
    """The shop, with mutations."""
    return serve(plugins={"shop": plugin(TILL)})


@pytest.fixture
def readme() -> str:
    """What the plugin's page says."""
    return (Path(__file__).parent.parent / "README.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Each test begins with nothing done."""
    BATCHES.clear()
    SOLD.clear()
