"""Databases that begin migrated: each list of migrations is applied once in a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolehost import schema

from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.memory.store import Store

if TYPE_CHECKING:
    from rolehost.schema.files import Set

#: Databases with nothing but their schema, by the sets of migrations that made it.
_images: dict[tuple[Set, ...], bytes] = {}


def bring_up(database: MemoryDatabase, sets: tuple[Set, ...]) -> None:
    """Apply the pending migrations of some sets.

    Raises:
        SchemaError: a migration is wrong.
    """
    if database.store.path.exists():
        schema.up(database, sets)
        return
    image = _images.get(sets)
    if image is None:
        image = _images[sets] = _build(database, sets)
    database.store.fill(image)


def _build(database: MemoryDatabase, sets: tuple[Set, ...]) -> bytes:
    store = Store()
    try:
        schema.up(MemoryDatabase(store, database.peewee.interleaving), sets)
        return store.image()
    finally:
        store.remove()
