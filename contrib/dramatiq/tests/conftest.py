"""An existing code base with Dramatiq actors, and a plugin that contributes them."""

from __future__ import annotations

from types import SimpleNamespace

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from rolehost.api import PluginInfo, hookimpl
from rolehost_dramatiq import DramatiqActors


@pytest.fixture
def existing():
    """Return the broker of the existing code, as its modules set it at their import."""
    before = dramatiq.broker.global_broker
    broker = StubBroker()
    dramatiq.set_broker(broker)
    yield broker
    dramatiq.set_broker(before)


def plugin_of(*actors: dramatiq.Actor):
    """Return a plugin that contributes these actors, and its DramatiqActors."""
    found = DramatiqActors(*actors)

    class Plugin:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=2, enqueues=found.names)

        @hookimpl
        def rolehost_actors(self):
            return list(found.actors)

        @hookimpl
        def rolehost_start(self, context):
            found.start(context)

        @hookimpl
        def rolehost_stop(self, context):
            found.stop(context)

    return SimpleNamespace(plugin=Plugin(), actors=found)


@pytest.fixture
def running(host, existing):
    """Return a function that starts a host with these actors."""

    def start(*actors):
        return host(plugins=[plugin_of(*actors).plugin])

    return start
