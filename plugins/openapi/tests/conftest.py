from __future__ import annotations

import pytest
from rolehost.api import PLUGIN_API, PluginInfo, hookimpl

from .shop import ERRORS, ROUTES


class Shop:
    """A plugin with the routes and the error format of :mod:`.shop`."""

    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=PLUGIN_API)

    @hookimpl
    def rolehost_routes(self):
        return [each for _, each in (*ROUTES, *ERRORS)]


@pytest.fixture
def serving(host):
    """Make a host of the plugin, given its settings, and of the shop."""
    return lambda **settings: host(["openapi", Shop()], settings={"openapi": settings}, name="shop")


@pytest.fixture
def client(serving):
    return serving().client
