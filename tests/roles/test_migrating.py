from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rolehost.api import Database, Migrations, PluginInfo, hookimpl
from rolehost.composition import compose
from rolehost.delivery.clock import SystemClock
from rolehost.delivery.leases import Identity, Presence
from rolehost.deployment import load
from rolehost.errors import StartError
from rolehost.roles.migrating import migrate_at_start

FILES = {
    "0001_first": "-- up\nCREATE TABLE first (x);\n-- down\nDROP TABLE first;\n",
    "0002_second": "-- phase: post\n-- up\nDROP TABLE first;\n-- down\nSELECT 1;\n",
    "0003_third": "-- up\nCREATE TABLE third (x);\n-- down\nDROP TABLE third;\n",
}


class Sample:
    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database",))

    @hookimpl
    def rolehost_migrations(self) -> list[Migrations]:
        return [Migrations(package="phased_migrations")]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site" / "phased_migrations"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    sys.modules.pop("phased_migrations", None)


def composition(tmp_path: Path, policy: str) -> Any:
    pytest.importorskip("rolehost_embedded")
    file = tmp_path / "phased.toml"
    file.write_text(
        'plugins = ["embedded", "sample"]\n'
        f'[deployment]\nmigrate = "{policy}"\n'
        f'[embedded]\npath = "{tmp_path / "service.db"}"\n'
    )
    return compose(load(file), extra={"sample": Sample()})


def brought_up(made: Any) -> list[str]:
    database: Database = made.backends["database"].value.factory()
    try:
        return [m.name for m in migrate_at_start(made, database) if m.owner == "sample"]
    finally:
        database.close()


def write(package: Path, *names: str) -> None:
    for name in names:
        (package / f"{name}.sql").write_text(FILES[name])


def somebody_runs(made: Any) -> None:
    database: Database = made.backends["database"].value.factory()
    me = Identity("worker.0.1-1-x", "phased", "worker", 0, 1)
    Presence(database, SystemClock(), 60.0).renew(me)
    database.close()


def test_without_running_processes_both_phases_are_applied_in_order(
    tmp_path: Path, package: Path
) -> None:
    write(package, *FILES)
    assert brought_up(composition(tmp_path, "run")) == ["first", "second", "third"]


def test_post_migrations_wait_while_other_processes_run(tmp_path: Path, package: Path) -> None:
    write(package, "0001_first")
    made = composition(tmp_path, "run")
    assert brought_up(made) == ["first"]
    somebody_runs(made)
    write(package, "0002_second", "0003_third")
    assert brought_up(made) == ["third"]


def test_a_start_that_only_checks_requires_the_pre_migrations(
    tmp_path: Path, package: Path
) -> None:
    write(package, "0001_first")
    assert brought_up(composition(tmp_path, "run")) == ["first"]
    write(package, "0002_second")
    assert brought_up(composition(tmp_path, "check")) == []
    write(package, "0003_third")
    with pytest.raises(StartError, match=r"1 migrations are pending .*0003_third"):
        brought_up(composition(tmp_path, "check"))


def test_code_that_is_older_than_an_applied_post_migration_does_not_start(
    tmp_path: Path, package: Path
) -> None:
    write(package, "0001_first", "0002_second")
    brought_up(composition(tmp_path, "run"))
    (package / "0002_second.sql").unlink()
    for policy in ("run", "check"):
        with pytest.raises(StartError, match="does not know the migrations sample/0002_second"):
            brought_up(composition(tmp_path, policy))


def test_code_that_is_older_than_an_applied_pre_migration_starts(
    tmp_path: Path, package: Path
) -> None:
    write(package, "0001_first")
    brought_up(composition(tmp_path, "run"))
    (package / "0001_first.sql").unlink()
    assert brought_up(composition(tmp_path, "check")) == []
