"""Async responders in a simulation: the rules of the ``http`` role hold there, too."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("greenlet")

import falcon
from rolehost.api import PLUGIN_API, PluginInfo, Route, actor, hookimpl
from rolehost_testing.simulation import NONE, Client, Simulation


@actor(name="async.noop")
def noop(job: Any) -> None:
    """Do nothing."""


class Things:
    """One responder that writes on the loop, one that has a function do it."""

    async def on_put(self, req: Any, resp: Any) -> None:
        req.context.services.enqueue(noop)

    async def on_post(self, req: Any, resp: Any) -> None:
        services = req.context.services
        job = await services.run(services.enqueue, noop)
        resp.media = job.id
        resp.status = falcon.HTTP_201


class Plugin:
    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=PLUGIN_API, requires=("database",), enqueues=("async.noop",))

    @hookimpl
    def rolehost_actors(self) -> Any:
        return [noop]

    @hookimpl
    def rolehost_routes(self) -> Any:
        return [Route("/things", Things())]


def refused(client: Client) -> None:
    answer = client.request("PUT", "/things")
    client.acknowledged("answers of PUT", answer.status)


def written(client: Client) -> None:
    answer = client.post("/things", {})
    client.acknowledged("answers of POST", answer.status)


def test_async_code_is_refused_on_the_loop_and_writes_through_run() -> None:
    simulation = Simulation([Plugin()], actions=[refused, written], faults=NONE)
    acknowledged = simulation.run(1, steps=120).world.acknowledged
    simulation.close()
    assert set(acknowledged["answers of PUT"]) == {500}
    assert set(acknowledged["answers of POST"]) == {201}
