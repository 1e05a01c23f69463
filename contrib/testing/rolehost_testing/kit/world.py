"""State that hosts of one test share: clock, random seed, storage and published events."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolehost.deployment import Deployment
from rolehost.storage import KINDS

from rolehost_testing.kit.clock import Clock
from rolehost_testing.kit.deploying import deployment, written

if TYPE_CHECKING:
    from rolehost.composition import Composition
    from rolehost.storage import Database, Record

    from rolehost_testing.memory import MemoryWorld

#: The backends of a host: ``memory``, ``temporary``, or names of plugins with backends.
Backends = str | Sequence[str]

#: Section → its keys and values, or an object of its settings type.
Sections = Mapping[str, Any]


class World:
    """The environment that several hosts share.

    Args:
        clock: the clock of all hosts.
        seed: seed of their random sources.
        backends: ``memory``, ``temporary`` (the plugin ``embedded`` in a temporary folder), or
            names of plugins with backends. If several offer a kind, the first one is used.

    Attributes:
        published: every record that a unit of work published, by event id.
    """

    def __init__(self, clock: Clock, seed: int, backends: Backends) -> None:
        self.clock = clock
        self.seed = seed
        self.published: dict[str, Record] = {}
        if backends == "temporary":
            self._names: tuple[str, ...] = ("embedded",)
        else:
            self._names = (backends,) if isinstance(backends, str) else tuple(backends)
        self._memory: MemoryWorld | None = None
        self._closers: list[Callable[[], object]] = []
        self._own: dict[str, dict[str, Any]] = {}

    @cached_property
    def folder(self) -> Path:
        """A temporary folder; created by :meth:`prepare`, removed by :meth:`close`."""
        return Path(tempfile.gettempdir(), f"rolehost-kit-{os.getpid()}-{uuid.uuid4().hex}")

    def plugins(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the names of the plugins with backends, and the plugin objects among them."""
        if "memory" not in self._names:
            return self._names, {}
        if self._memory is None:
            from rolehost_testing.memory import MemoryWorld

            self._memory = MemoryWorld(clock=self.clock)
            self._closers.append(self._memory.close)
        return self._names, {"memory": self._memory.plugin}

    def settings(self, given: Sections) -> dict[str, dict[str, Any]]:
        """Return the settings, with this world's locations for the data of its backends."""
        merged = {section: written(values) for section, values in given.items()}
        for name in self._names:
            if name not in self._own:
                self._own[name] = self._place(name, merged)
            merged[name] = {**merged.get(name, {}), **self._own[name]}
        if len(self._names) > 1:
            chosen = {**self._chosen(merged), **merged.get("storage", {})}
            merged["storage"] = chosen
        return merged

    def prepare(self, composition: Composition, database: Callable[[], Database]) -> None:
        """Create the folder and apply the migrations, if needed."""
        if any(str(self.folder) in repr(plugin.settings) for plugin in composition.plugins):
            self._make_folder()
        if "database" not in composition.backends:
            return
        from rolehost import schema

        sets = [schema.HOST_SET, *composition.schema_sets]
        if self._memory is not None and composition.backends["database"].value.name == "memory":
            self._memory.prepare(sets)
        else:
            schema.up(database(), sets)

    def next_message(self, queues: Iterable[str]) -> int | None:
        """Return when the next message of some Dramatiq queues is due, in milliseconds, or None.

        Includes only messages in memory; servers use their own clocks.
        """
        if self._memory is None:
            return None
        due = [self._memory.messages.next_due(queue) for queue in queues]
        return min((each for each in due if each is not None), default=None)

    def close(self) -> None:
        """Release all resources. Idempotent."""
        while self._closers:
            self._closers.pop()()

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            self._closers.append(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _place(self, name: str, settings: Sections) -> dict[str, Any]:
        """Return settings of one plugin that separate its data from other worlds."""
        if name == "embedded":
            return {"path": str(self.folder / "service.db")}
        if name == "postgres":
            from rolehost_testing.kit.schemas import own_schema

            deployed = deployment("schema", [name], {name: settings.get(name, {})}, self.folder)
            made = own_schema(deployed, settings.get(name, {}))
            self._closers.append(made.drop)
            return made.settings
        return {}

    def _chosen(self, settings: Sections) -> dict[str, str]:
        """Return for each storage kind the first plugin that offers it."""
        of_plugins = {name: settings.get(name, {}) for name in self._names}
        deployed = deployment("choice", self._names, of_plugins, self.folder)
        chosen: dict[str, str] = {}
        for name in self._names:
            offered = KINDS if name == "memory" else _offered(deployed, name)
            for kind in offered:
                chosen.setdefault(kind, name)
        return chosen


def _offered(deployed: Deployment, name: str) -> list[str]:
    from rolehost.api import Backend
    from rolehost.composition import probe

    from rolehost_testing.kit.selecting import present

    found = [each for each in present() if each.name == name]
    return [
        owned.value.kind
        for each in found
        for owned in probe(deployed, each).contributions.of(Backend)
    ]
