"""Deployments of a test's own plugins, over SQLite and over PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rolehost import schema
from rolehost.api import PLUGIN_API, PluginInfo, hookimpl
from rolehost.composition import Composition, compose
from rolehost.composition.manifest import Manifest, describe
from rolehost.deployment import load
from rolehost.services import ProcessServices

#: What of a plugin goes into its PluginInfo.
_INFO = ("enqueues", "publishes", "payloads")


class Plugin:
    """A plugin object that gives what a test says."""

    def __init__(self, info: dict[str, Any], **given: Any) -> None:
        self._info, self._given = info, given

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=PLUGIN_API, requires=("database",), **self._info)

    @hookimpl
    def rolehost_routes(self) -> Any:
        return self._given.get("routes", ())

    @hookimpl
    def rolehost_actors(self) -> Any:
        return self._given.get("actors", ())

    @hookimpl
    def rolehost_handlers(self) -> Any:
        return self._given.get("handlers", ())

    @hookimpl
    def rolehost_schedules(self) -> Any:
        return self._given.get("schedules", ())


class Fleet:
    """Deployments that share one database, made by a test one by one."""

    def __init__(self, folder: Path, plugins: list[str], settings: str) -> None:
        self.folder = folder
        self._plugins = plugins
        self._settings = settings
        self._services: list[ProcessServices] = []

    def compose(self, name: str = "app", settings: str = "", **given: Any) -> Composition:
        """A deployment with one plugin of its own; ``enqueues`` and ``publishes`` are its info."""
        info = {key: given.pop(key) for key in _INFO if key in given}
        path = self.folder / f"{name}.toml"
        path.write_text(f"plugins = {[*self._plugins, 'test']}\n{self._settings}\n{settings}")
        return compose(load(path, environ={}), extra={"test": Plugin(info, **given)})

    def describe(self, name: str = "app", settings: str = "", **given: Any) -> Manifest:
        return describe(self.compose(name, settings, **given))

    def services(self, composition: Composition) -> ProcessServices:
        made = ProcessServices(composition, role="command")
        self._services.append(made)
        schema.up(made.database, [schema.HOST_SET, *composition.schema_sets])
        return made

    def close(self) -> None:
        for each in self._services:
            each.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Over one SQLite file."""
    made = Fleet(tmp_path, ["embedded"], '[embedded]\npath = "service.db"')
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engine)])
def any_fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Over each database; events are those of SQLite alone."""
    if request.param == "sqlite":
        yield request.getfixturevalue("fleet")
        return
    pytest.importorskip("rolehost_postgres", reason="needs rolehost-postgres")
    yield from _postgresql(request.getfixturevalue("postgres_url"), tmp_path)


def _postgresql(url: str, folder: Path) -> Iterator[Fleet]:
    """Over a schema of its own in a server's database."""
    from psycopg2.extensions import make_dsn
    from rolehost.api import Secret
    from rolehost_postgres.database import PostgresDatabase
    from rolehost_postgres.settings import PostgresSettings

    name = f"test_{uuid.uuid4().hex}"
    admin = PostgresDatabase(PostgresSettings(url=Secret(url)))
    with admin.transaction() as tx:
        tx.execute(f"CREATE SCHEMA {name}")
    own = make_dsn(url, options=f"-c search_path={name}")
    made = Fleet(folder, ["postgres"], f'[postgres]\nurl = "{own}"')
    yield made
    made.close()
    with admin.transaction() as tx:
        tx.execute(f"DROP SCHEMA {name} CASCADE")
    admin.close()
