from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.asgi
import falcon.testing
import pytest
from rolehost.api import DeclareContext, Statistics
from rolehost_ops import plugin
from rolehost_ops.settings import OpsSettings


class Backend:
    """A backend whose ping does what the test says; counts the sessions around it."""

    def __init__(self, ping=lambda: None):
        self.ping = ping
        self.sessions = 0

    @contextlib.contextmanager
    def session(self):
        self.sessions += 1
        yield


@dataclass
class FakeServices:
    """The part of rolehost.api.Services that the plugin uses."""

    runtime_directory: Path
    draining: bool = False
    role: str = "http"
    deployment: str = "test"
    backends: dict[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    checks: list[Any] = field(default_factory=list)
    degraded: dict[str, str] = field(default_factory=dict)
    tell: Any = Statistics
    random: random.Random = field(default_factory=random.Random)

    def __post_init__(self):
        self.services: dict[type, Any] = {}
        self.closing: list[Any] = []

    def offer(self, kind, ping=lambda: None, name="fake"):
        """Have a backend."""
        self.backends[kind] = name
        setattr(self, kind, Backend(ping))

    def statistics(self):
        return self.tell()

    def register(self, kind, factory, *, close=None):
        instance = factory(self)
        self.services[kind] = instance
        if close is not None:
            self.closing.append(lambda: close(instance))

    def get(self, kind):
        return self.services[kind]

    def close(self):
        while self.closing:
            self.closing.pop()()


class GiveServices:
    def __init__(self, services):
        self.services = services

    async def process_request(self, req, resp):
        req.context.services = self.services


@pytest.fixture
def services(tmp_path):
    fake = FakeServices(tmp_path)
    yield fake
    fake.close()


@pytest.fixture
def client_with(services):
    """Make a client of an application with the plugin's routes, given settings."""

    def make(**settings):
        context = DeclareContext(
            plugin="ops", settings=OpsSettings(**settings), deployment=services.deployment
        )
        app = falcon.asgi.App(middleware=[GiveServices(services)])
        for route in plugin.rolehost_routes(context):
            app.add_route(route.path, route.resource)
        return falcon.testing.TestClient(app)

    return make


@pytest.fixture
def client(client_with):
    return client_with()
