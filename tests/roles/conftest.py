"""Roles in this process, with the embedded backends in a temporary folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rolehost import schema
from rolehost.api import PluginInfo, hookimpl
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.process import Process
from rolehost.services import ProcessServices


class Collected:
    """Records the calls of a test's actors and handlers; tests wait for them without sleeping."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._changed = threading.Condition()

    def add(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, count: int, timeout: float = 20.0) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, timeout), (
                f"{len(self.items)} of {count} after {timeout} s: {self.items[:20]}"
            )
            return list(self.items)


class Plugin:
    """A plugin object with the actors, handlers and schedules of a test."""

    def __init__(
        self, actors: Any, handlers: Any, schedules: Any, job_middleware: Any = ()
    ) -> None:
        self._actors, self._handlers, self._schedules = actors, handlers, schedules
        self._job_middleware = job_middleware

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(
            api=1,
            enqueues=tuple(
                name
                for actor in self._actors
                if actor.durable
                for name in (actor.name, *actor.aliases)
            ),
            publishes=tuple({handler.topic for handler in self._handlers}),
        )

    @hookimpl
    def rolehost_actors(self) -> Any:
        return self._actors

    @hookimpl
    def rolehost_handlers(self) -> Any:
        return self._handlers

    @hookimpl
    def rolehost_job_middleware(self) -> Any:
        return self._job_middleware

    @hookimpl
    def rolehost_schedules(self) -> Any:
        return self._schedules


class Host:
    """A deployment of one test plugin; starts roles and stops them at the end."""

    def __init__(
        self, folder: Path, settings: str, plugin: Plugin, plugins: Sequence[str] = ("embedded",)
    ) -> None:
        path = folder / "rolehost.toml"
        path.write_text(f"plugins = {[*plugins, 'test']}\n{settings}")
        self.composition = compose(load(path, environ={}), extra={"test": plugin})
        self.services = ProcessServices(self.composition, role="command")
        schema.up(self.services.database, [schema.HOST_SET, *self.composition.schema_sets])
        self.running: list[tuple[Any, Process]] = []

    def start(self, role_class: Callable[[Process], Any], role: str, slot: int = 0) -> Any:
        process = Process(self.composition, role=role, slot=slot)
        process.start()
        started = role_class(process)
        started.start()
        self.running.append((started, process))
        return started

    def stop(self) -> None:
        while self.running:
            role, process = self.running.pop()
            process.drain()
            role.stop()
            process.stop()

    def read(self, sql: str, *params: Any) -> list[Any]:
        with self.services.database.session():
            return self.services.database.read(sql, params)


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(
        actors: Any = (), handlers: Any = (), schedules: Any = (), settings: str = "",
        job_middleware: Any = (), **more: Any,
    ) -> Host:  # fmt: skip
        plugin = Plugin(actors, handlers, schedules, job_middleware)
        made.append(Host(tmp_path, settings, plugin, **more))
        return made[-1]

    yield make
    for each in made:
        each.stop()
        each.services.close()
