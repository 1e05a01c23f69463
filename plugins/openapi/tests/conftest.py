from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import falcon
import falcon.testing
import pytest
from rolehost.api import DeclareContext
from rolehost_openapi import plugin
from rolehost_openapi.settings import OpenapiSettings


@dataclass
class FakeServices:
    """The part of rolehost.api.Services that the plugin uses."""

    deployment: str = "shop"
    routes: list[Any] = field(default_factory=list)
    error_formats: list[Any] = field(default_factory=list)


class GiveServices:
    def __init__(self, services):
        self.services = services

    def process_request(self, req, resp):
        req.context.services = self.services


@pytest.fixture
def services():
    return FakeServices()


@pytest.fixture
def client_with(services):
    """Make a client of an application with the plugin's routes, given settings."""

    def make(**settings):
        context = DeclareContext(
            plugin="openapi", settings=OpenapiSettings(**settings), deployment=services.deployment
        )
        app = falcon.App(middleware=[GiveServices(services)])
        for route in plugin.rolehost_routes(context):
            app.add_route(route.path, route.resource)
            services.routes.append(("openapi", route))
        return falcon.testing.TestClient(app)

    return make


@pytest.fixture
def client(client_with):
    return client_with()
