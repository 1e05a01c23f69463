"""The plugin ``memcached``: offers a cache."""

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
    hookimpl,
)

from rolehost_memcached import abilities
from rolehost_memcached.settings import MemcachedSettings

#: The name of this backend in a deployment: ``[storage] cache = "memcached"``.
NAME = "memcached"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Cache on memcached, one server or several",
        settings=MemcachedSettings,
    )


@hookimpl
def rolehost_backends(context: DeclareContext) -> Sequence[Backend]:
    """Offer the cache; its driver is imported when the cache is made."""
    settings: MemcachedSettings = context.settings

    def cache() -> Cache:
        from rolehost_memcached.cache import MemcachedCache

        return MemcachedCache(settings)

    missing = "" if find_spec("pymemcache") else "pip install 'pymemcache>=4,<5'"
    return [
        Backend(
            kind="cache",
            name=NAME,
            factory=cache,
            capabilities=abilities.CACHE,
            unavailable=missing,
            fleet=FleetFacts(
                identity=f"{','.join(sorted(settings.servers))} {settings.namespace}",
                connections=settings.connections,
            ),
        )
    ]
