"""The plugin ``redis``: offers a cache and a queue."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from rolehost.api import (
    PLUGIN_API,
    Backend,
    Cache,
    DeclareContext,
    FleetFacts,
    PluginInfo,
    Queue,
    hookimpl,
)

from rolehost_redis import abilities
from rolehost_redis.identity import identity
from rolehost_redis.settings import RedisSettings

#: The name of these backends in a deployment: ``[storage] cache = "redis"``.
NAME = "redis"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Cache and queue on Redis",
        settings=RedisSettings,
    )


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the backends; the driver is imported when a backend is made."""
    settings: RedisSettings = context.settings

    def cache() -> Cache:
        from rolehost_redis.cache import RedisCache

        return RedisCache(settings)

    def queue() -> Queue:
        from rolehost_redis.queue import RedisQueue

        return RedisQueue(settings)

    dramatiq = find_spec("dramatiq")
    queue_abilities = abilities.QUEUE if dramatiq else abilities.QUEUE - {"ephemeral"}
    missing = "" if find_spec("redis") else "pip install 'redis>=8,<9'"
    return [
        Backend(
            kind="cache",
            name=NAME,
            factory=cache,
            capabilities=abilities.CACHE,
            unavailable=missing,
            fleet=FleetFacts(
                identity=identity(settings, "cache"), connections=settings.connections
            ),
        ),
        Backend(
            kind="queue",
            name=NAME,
            factory=queue,
            capabilities=queue_abilities,
            unavailable=missing,
            fleet=FleetFacts(identity=identity(settings, "queue")),
        ),
    ]
