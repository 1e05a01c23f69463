"""The plugin of the benchmark of asynchronous jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rolehost.api import Actor, JobContext, PluginInfo, actor, hookimpl

from benchmarks.moments import Moments

#: Set in the process that runs jobs.
moments: Moments | None = None


@actor(queue="bench")
async def wait(_job: JobContext, number: int, seconds: float) -> None:
    """Wait as for an answer from another service."""
    assert moments is not None
    moments.start(number)
    await asyncio.sleep(seconds)
    moments.end(number)


class Waiting:
    """A plugin with the actor."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "queue"), enqueues=("wait",))

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [wait]


waits = Waiting()
