"""A plugin with one of each contribution, in the hosts of the testing kit."""

from __future__ import annotations

import json
import statistics
import sys
import time

from rolehost.api import (
    PLUGIN_API,
    Check,
    Middleware,
    PluginInfo,
    Route,
    Schedule,
    actor,
    handler,
    hookimpl,
)
from rolehost_testing.kit import Hosts

from benchmarks.programs.bare_testing import rate
from benchmarks.sample import PATH, Orders


@actor(name="kit.work")
def work(job, number: int):
    """Do nothing, durably."""


@handler(topic="kit.events", group="kit", name="kit.handle", payload=dict)
def handle(context, event):
    """Handle nothing."""


class Stamp:
    async def process_response(self, _req, resp, *_):
        resp.set_header("X-Stamp", "kit")


class Plugin:
    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=PLUGIN_API, enqueues=("kit.work",), publishes=("kit.events",))

    @hookimpl
    def rolehost_routes(self):
        return [Route(PATH, Orders())]

    @hookimpl
    def rolehost_middleware(self):
        return [Middleware("stamp", Stamp())]

    @hookimpl
    def rolehost_actors(self):
        return [work]

    @hookimpl
    def rolehost_handlers(self):
        return [handle]

    @hookimpl
    def rolehost_schedules(self):
        return [Schedule(name="kit.tick", actor=work, arguments={"number": 1}, every=60)]

    @hookimpl
    def rolehost_checks(self):
        return [Check(name="kit", fn=lambda _services: None)]


def started() -> float:
    """Return the milliseconds to start a host that takes requests and jobs, and to stop it."""
    began = time.perf_counter()
    hosts = Hosts()
    hosts({"kit": Plugin()})
    hosts.close()
    return (time.perf_counter() - began) * 1000


def drained(count: int) -> float:
    """Return the number of jobs enqueued, run and finished per second."""
    hosts = Hosts()
    here = hosts({"kit": Plugin()})
    began = time.perf_counter()
    for number in range(count):
        here.services.enqueue(work, number=number)
    ran = here.drain()
    seconds = time.perf_counter() - began
    assert ran.outcomes == {"completed": count}
    hosts.close()
    return count / seconds


def requested(count: int) -> float:
    """Return the number of requests answered per second."""
    hosts = Hosts()
    client = hosts({"kit": Plugin()}).client
    found = rate(lambda: client.get("/orders/1").json, count)
    hosts.close()
    return found


def main(count: int) -> None:
    """Print the milliseconds of a start, and the rates of jobs and requests."""
    started()
    times = [started() for _ in range(max(3, count // 50))]
    print(
        json.dumps(
            {
                "start": statistics.median(times),
                "request": requested(count),
                "job": drained(count),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
