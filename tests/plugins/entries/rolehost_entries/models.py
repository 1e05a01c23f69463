"""Effects, one row for each time that one happened, and the counters of keys."""

from __future__ import annotations

from peewee import BigIntegerField, Model, TextField
from rolehost.api import Migrations


class Effect(Model):
    """Something that happened to an entry; nothing in the table forbids that it is there twice."""

    kind = TextField()
    entry = TextField()
    key = TextField()
    seq = BigIntegerField()
    position = BigIntegerField()

    class Meta:
        table_name = "entries_effects"
        primary_key = False


class Counter(Model):
    """How many effects of a kind a key has had."""

    name = TextField(primary_key=True)
    value = BigIntegerField()

    class Meta:
        table_name = "entries_counters"


#: Declared by each of the plugins, run once.
MIGRATIONS = Migrations(
    package="rolehost_entries.migrations", models=(Effect, Counter), owner="entries"
)


def happened(kind: str, entry: str, key: str, seq: int, position: int = 0) -> None:
    """Write one effect, in the unit of work that is open."""
    Effect.insert(kind=kind, entry=entry, key=key, seq=seq, position=position).execute()


def following(kind: str, key: str) -> int:
    """Return the next position of a key, from 1; its row stays locked until the commit."""
    counted = (
        Counter.insert(name=f"{kind} {key}", value=1)
        .on_conflict(conflict_target=[Counter.name], update={Counter.value: Counter.value + 1})
        .returning(Counter.value)
        .tuples()
        .execute()
    )
    position: int = next(iter(counted))[0]
    return position
