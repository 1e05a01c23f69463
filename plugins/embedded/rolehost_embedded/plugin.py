"""The plugin ``embedded``: offers a backend of every storage kind."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import (
    PLUGIN_API,
    Backend,
    Database,
    DeclareContext,
    Migrations,
    PluginInfo,
    hookimpl,
)

from rolehost_embedded.settings import EmbeddedSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Say what it is."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Storage without a server: SQLite database, queue and stream; cache in memory",
        settings=EmbeddedSettings,
    )


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the backends; drivers are imported when one is made."""
    settings: EmbeddedSettings = context.settings

    def database() -> Database:
        from rolehost_embedded.database import EmbeddedDatabase

        return EmbeddedDatabase(settings)

    return [
        Backend(
            kind="database",
            name="embedded",
            factory=database,
            capabilities=frozenset({"transactions", "persistent"}),
        ),
    ]


@hookimpl
def rolehost_migrations() -> Sequence[Migrations]:
    """The stream's tables live in the service database."""
    return [Migrations(package="rolehost_embedded.migrations")]
