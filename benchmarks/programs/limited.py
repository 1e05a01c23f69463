"""The plugin of the benchmark of limits."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import Actor, JobContext, Limits, PluginInfo, actor, hookimpl

from benchmarks.programs import plugin

#: Jobs of a partition that may run at the same time.
CONCURRENCY = 4


@actor(queue="bench", partition="tenant", partition_limits=Limits(concurrency=CONCURRENCY))
def limited(_job: JobContext, number: int, tenant: str) -> None:  # noqa: ARG001
    """Do nothing, with a limit for each tenant."""
    plugin.countdown.count(number)


class Limited:
    """A plugin with the actors."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "queue"), enqueues=("limited",))

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [limited]


limits = Limited()
