"""The plugin ``postgres``: offers a database and a queue."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from rolehost.api import (
    PLUGIN_API,
    Backend,
    Database,
    DeclareContext,
    FleetFacts,
    PluginInfo,
    Queue,
    hookimpl,
)

from rolehost_postgres import abilities
from rolehost_postgres.identity import identity
from rolehost_postgres.settings import PostgresSettings

#: The name of these backends in a deployment: ``[storage] database = "postgres"``.
NAME = "postgres"

#: Maximum connections of the queue in one process: one listens, one notifies, one answers a health
#: check.
QUEUE_CONNECTIONS = 3


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="PostgreSQL: the service database, and a queue by LISTEN and NOTIFY",
        settings=PostgresSettings,
    )


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the backends; the driver is imported when a backend is made."""
    settings: PostgresSettings = context.settings

    def database() -> Database:
        from rolehost_postgres.database import PostgresDatabase

        return PostgresDatabase(settings)

    def queue() -> Queue:
        from rolehost_postgres.queue import PostgresQueue

        return PostgresQueue(settings)

    missing = "" if find_spec("psycopg2") else "pip install psycopg2-binary"
    return [
        Backend(
            kind="database",
            name=NAME,
            factory=database,
            capabilities=abilities.DATABASE,
            unavailable=missing,
            fleet=FleetFacts(identity=identity(settings), connections=settings.pool_size),
        ),
        Backend(
            kind="queue",
            name=NAME,
            factory=queue,
            capabilities=abilities.QUEUE,
            unavailable=missing,
            fleet=FleetFacts(identity=identity(settings), connections=QUEUE_CONNECTIONS),
        ),
    ]
