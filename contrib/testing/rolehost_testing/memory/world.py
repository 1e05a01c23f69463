"""A world in memory: a database, a queue, a stream and a cache, shared by several hosts."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rolehost.api import PLUGIN_API, Backend, PluginInfo, hookimpl
from rolehost.delivery.clock import SystemClock

from rolehost_testing.memory import abilities
from rolehost_testing.memory.interleaving import Interleaving, Threads
from rolehost_testing.memory.topics import Topics
from rolehost_testing.memory.wakes import Wakes

if TYPE_CHECKING:
    from rolehost.api.services import Clock
    from rolehost.schema.files import Set

    from rolehost_testing.memory.cache import MemoryCache
    from rolehost_testing.memory.database import MemoryDatabase
    from rolehost_testing.memory.messages import Messages

#: The name of these backends in a deployment: ``[storage] cache = "memory"``.
NAME = "memory"


class MemoryWorld:
    """Storage of every kind, in memory, for all hosts that are composed with its plugin.

    Args:
        clock: the clock for timestamps of records and for the expiry of cache entries; None takes
            the system's clock.
        interleaving: how threads or simulated threads wait; None means threads.
        partitions: partitions of each topic of the stream.
        session: seconds without a poll after which a member of a consumer group loses its
            partitions; None: it keeps them until it leaves.

    Close a world at the end; otherwise it is closed when it is garbage-collected.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        interleaving: Interleaving | None = None,
        partitions: int = 4,
        session: float | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.interleaving = interleaving or Threads()
        self.topics = Topics(self.clock, self.interleaving, partitions=partitions, session=session)
        self.wakes = Wakes(self.interleaving)
        self._closers: list[Callable[[], None]] = []
        self._close = weakref.finalize(self, _close_all, self._closers)

    @cached_property
    def database(self) -> MemoryDatabase:
        """The database: one object for all, because peewee's models are bound to one at a time."""
        from rolehost_testing.memory.database import MemoryDatabase
        from rolehost_testing.memory.store import Store

        store = Store()
        self._closers.append(store.remove)
        return MemoryDatabase(store, self.interleaving)

    @cached_property
    def cache(self) -> MemoryCache:
        """The cache."""
        from rolehost_testing.memory.cache import MemoryCache

        return MemoryCache(lambda: self.clock.now() / 1000)

    @cached_property
    def messages(self) -> Messages:
        """The messages of ephemeral actors."""
        from rolehost_testing.memory.messages import Messages

        return Messages(self.clock, self.wakes)

    @cached_property
    def plugin(self) -> MemoryPlugin:
        """The plugin that offers the backends of this world, for ``compose(extra=…)``."""
        return MemoryPlugin(lambda: self)

    def prepare(self, sets: Iterable[Set]) -> None:
        """Apply the migrations to the database; copy the schema if another world has the same one.

        Args:
            sets: the host's and the plugins' sets of migrations, as ``rolehost.schema.up``
                takes them.

        Raises:
            SchemaError: a migration is wrong.
        """
        from rolehost_testing.memory.template import bring_up

        bring_up(self.database, tuple(sets))

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._close()


class MemoryPlugin:
    """The plugin ``memory``.

    Args:
        world: called when a backend is made; returns the world that the backend uses.
    """

    def __init__(self, world: Callable[[], MemoryWorld]) -> None:
        self._world = world

    @staticmethod
    @hookimpl
    def rolehost_plugin() -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(api=PLUGIN_API, summary="Storage in the memory of one process, for tests")

    @hookimpl
    def rolehost_backends(self) -> Sequence[Backend]:
        """Offer the backends of the world; a driver is imported when its backend is made."""

        def database() -> Any:
            return self._world().database

        def cache() -> Any:
            return self._world().cache

        def queue() -> Any:
            from rolehost_testing.memory.queue import MemoryQueue

            return MemoryQueue(self._world())

        def stream() -> Any:
            from rolehost_testing.memory.stream import MemoryStream

            return MemoryStream(self._world().topics)

        return [
            Backend(kind="database", name=NAME, factory=database, capabilities=abilities.DATABASE),
            Backend(kind="cache", name=NAME, factory=cache, capabilities=abilities.CACHE),
            Backend(kind="queue", name=NAME, factory=queue, capabilities=abilities.QUEUE),
            Backend(kind="stream", name=NAME, factory=stream, capabilities=abilities.STREAM),
        ]


def _close_all(closers: list[Callable[[], None]]) -> None:
    while closers:
        closers.pop()()
