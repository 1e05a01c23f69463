"""The plugin of the benchmark of groups."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import Actor, JobContext, PluginInfo, actor, hookimpl

from benchmarks.programs import plugin


@actor(queue="bench", grouped=True)
def grouped(job: JobContext, number: int) -> None:
    """Write one row in a transaction that other jobs share."""
    plugin.write_row(job, number)


class Grouped:
    """A plugin with the actor."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "queue"), enqueues=("grouped",))

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [grouped]


groups = Grouped()
