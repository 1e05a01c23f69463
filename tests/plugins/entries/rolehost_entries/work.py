"""The plugin ``entries-work``: actors."""

from __future__ import annotations

from rolehost.api import Actor, Migrations, PluginInfo, hookimpl


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(api=1, summary="Settles and files entries", requires=("database",))


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the tables and their models."""
    from rolehost_entries.models import MIGRATIONS

    return [MIGRATIONS]


@hookimpl
def rolehost_actors() -> list[Actor]:
    """Return the jobs."""
    from rolehost_entries.jobs import file, settle, tick

    return [settle, file, tick]
