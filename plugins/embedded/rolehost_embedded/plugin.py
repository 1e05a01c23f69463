"""The plugin ``embedded``: offers a backend of every storage kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from os.path import abspath

from rolehost.api import (
    PLUGIN_API,
    Backend,
    Cache,
    Database,
    DeclareContext,
    FleetFacts,
    Migrations,
    PluginInfo,
    Queue,
    Stream,
    hookimpl,
)

from rolehost_embedded import abilities
from rolehost_embedded.settings import EmbeddedSettings

#: The name of these backends in a deployment: ``[storage] cache = "embedded"``.
NAME = "embedded"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Storage without a server: SQLite database, queue and stream; cache in memory",
        settings=EmbeddedSettings,
    )


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the backends; a driver is imported when its backend is created."""
    settings: EmbeddedSettings = context.settings

    # Not Path.resolve(), which reads the file system: declaring does no I/O.
    file = abspath(settings.path)  # noqa: PTH100
    messages = abspath(settings.messages_path)  # noqa: PTH100
    dramatiq = find_spec("dramatiq")
    queue_abilities = abilities.QUEUE if dramatiq else abilities.QUEUE - {"ephemeral"}
    return [
        Backend(
            kind="database",
            name=NAME,
            factory=partial(_database, settings),
            capabilities=abilities.DATABASE,
            fleet=FleetFacts(identity=file),
        ),
        # Each process has a separate cache, so there is nothing to compare.
        Backend(
            kind="cache", name=NAME, factory=partial(_cache, settings), capabilities=abilities.CACHE
        ),
        Backend(
            kind="queue",
            name=NAME,
            factory=partial(_queue, settings),
            capabilities=queue_abilities,
            fleet=FleetFacts(identity=messages),
        ),
        Backend(
            kind="stream",
            name=NAME,
            factory=partial(_stream, settings),
            capabilities=abilities.STREAM,
            stored_in="database",
            fleet=FleetFacts(identity=file, partitions=settings.partitions),
        ),
    ]


def _database(settings: EmbeddedSettings) -> Database:
    from rolehost_embedded.database import EmbeddedDatabase

    return EmbeddedDatabase(settings)


def _cache(settings: EmbeddedSettings) -> Cache:
    from rolehost_embedded.cache import EmbeddedCache

    return EmbeddedCache(settings)


def _queue(settings: EmbeddedSettings) -> Queue:
    from rolehost_embedded.queue import EmbeddedQueue

    return EmbeddedQueue(settings)


def _stream(settings: EmbeddedSettings) -> Stream:
    from rolehost_embedded.stream import EmbeddedStream

    return EmbeddedStream(settings)


@hookimpl
def rolehost_migrations() -> Sequence[Migrations]:
    """Return the migrations of the stream, whose tables are in the service database."""
    return [Migrations(package="rolehost_embedded.migrations")]
