"""Worlds in memory: state that hosts share, and state that ends with a host."""

from __future__ import annotations

import gc
from typing import Any

import pytest

pytest.importorskip("peewee")

from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.schema import HOST_SET
from rolehost.services import ProcessServices
from rolehost_testing import memory
from rolehost_testing.memory import MemoryWorld
from rolehost_testing.memory.store import folder


def _services(plugin: Any) -> ProcessServices:
    named = {f"ROLEHOST__STORAGE__{kind}": "memory" for kind in ("DATABASE", "CACHE")}
    deployment = load(None, plugins=["memory"], environ=named)
    composition = compose(deployment, extra={"memory": plugin})
    return ProcessServices(composition, role="command")


def _count(services: ProcessServices) -> int:
    with services.database.session():
        return int(services.database.read("SELECT count(*) FROM rolehost_jobs")[0][0])


def test_hosts_of_one_world_share_its_storage() -> None:
    world = MemoryWorld()
    one, other = _services(world.plugin), _services(world.plugin)
    one.cache.set("key", b"value")
    assert other.cache.get("key") == b"value"
    assert one.database is other.database
    world.close()


def test_compositions_with_the_plugin_itself_share_nothing() -> None:
    one, other = _services(memory), _services(memory)
    one.cache.set("key", b"value")
    assert other.cache.get("key") is None


def test_a_prepared_world_has_the_schema_whether_built_or_copied() -> None:
    for _ in range(2):
        world = MemoryWorld()
        world.prepare([HOST_SET])
        assert _count(_services(world.plugin)) == 0
        # Again, for a second host that joins.
        world.prepare([HOST_SET])
        world.close()


def test_a_world_that_is_closed_or_forgotten_leaves_no_file() -> None:
    before = set(folder().iterdir())
    for forget in (True, False):
        world = MemoryWorld()
        world.prepare([HOST_SET])
        assert set(folder().iterdir()) > before
        if forget:
            del world
            gc.collect()
        else:
            world.close()
        assert set(folder().iterdir()) == before


def test_a_host_that_closed_its_database_finds_everything_when_it_comes_back() -> None:
    world = MemoryWorld()
    world.prepare([HOST_SET])
    services = _services(world.plugin)
    with services.database.session(), services.database.transaction() as transaction:
        transaction.execute("INSERT INTO rolehost_ticks (schedule, last_tick) VALUES ('a', 1)")
    services.close()
    again = _services(world.plugin)
    with again.database.session():
        assert again.database.read("SELECT last_tick FROM rolehost_ticks") == [(1,)]
    world.close()
