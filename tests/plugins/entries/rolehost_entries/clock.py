"""The plugin ``entries-clock``: a schedule."""

from __future__ import annotations

from rolehost.api import PluginInfo, Schedule, hookimpl


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(api=1, summary="Ticks", requires=("database",), enqueues=("entries.tick",))


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    """Tick every second."""
    from rolehost_entries.jobs import tick

    return [Schedule(name="entries.second", actor=tick, every=1.0)]
