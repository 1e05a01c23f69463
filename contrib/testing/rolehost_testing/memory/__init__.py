"""Backends in the memory of one process, for tests: a plugin that every deployment can name.

A deployment enables them as the plugin ``memory``, given in code::

    compose(deployment, extra={"memory": memory, "mine": my_plugin})

Each composition then has storage of its own. Deployments that are to share a database, a queue,
a stream and a cache are given the same :class:`MemoryWorld`::

    world = MemoryWorld()
    compose(one, extra={"memory": world.plugin, …})
    compose(other, extra={"memory": world.plugin, …})

Nothing survives the process, and no other process sees any of it.
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
    """Say what it is."""
    return MemoryPlugin.rolehost_plugin()


@hookimpl
def rolehost_backends() -> Sequence[Backend]:
    """Offer backends of a new world."""
    return MemoryWorld().plugin.rolehost_backends()
