"""Backends in the memory of one process, for tests: the plugin ``memory``.

A deployment enables it by an object::

    compose(deployment, extra={"memory": memory, "mine": my_plugin})

Each composition then has separate storage. To share a database, a queue, a stream and a cache,
give several deployments the same :class:`MemoryWorld`::

    world = MemoryWorld()
    compose(one, extra={"memory": world.plugin, …})
    compose(other, extra={"memory": world.plugin, …})

The data ends with the process, and no other process sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import Backend, PluginInfo, hookimpl

from rolehost_testing.memory.interleaving import Interleaving, Threads
from rolehost_testing.memory.world import NAME, MemoryPlugin, MemoryWorld

__all__ = [
    "NAME",
    "Interleaving",
    "MemoryPlugin",
    "MemoryWorld",
    "Threads",
    "rolehost_backends",
    "rolehost_plugin",
]


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return MemoryPlugin.rolehost_plugin()


@hookimpl
def rolehost_backends() -> Sequence[Backend]:
    """Offer backends of a new world."""
    return MemoryWorld().plugin.rolehost_backends()
