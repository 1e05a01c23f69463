"""The table ``rolehost_limits``: limits that were set at run time, and the counts of all limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.api.limits import NO_LIMITS, Limits
from rolehost.delivery.limits import of_partition
from rolehost.delivery.statements import marks
from rolehost.errors import RolehostError
from rolehost.storage import Database, Transaction
from rolehost.suggest import did_you_mean, one_of

_HELD = "state IN ('claimed', 'running')"
#: Claims whose end is committed, but not applied to the counts yet.
_FREED = "(SELECT coalesce(sum(freed), 0) FROM rolehost_partition_changes WHERE {of})"


class UnknownLimit(RolehostError):
    """The deployment has no limit of this name."""


class LimitStatus(NamedTuple):
    """A limit in force, and its jobs.

    ``name`` is ``actor:NAME``, ``queue:NAME``, ``partition:ACTOR`` (of each partition) or
    ``partition:ACTOR/VALUE``. ``source`` is ``plugin``, ``deployment`` or ``run time``. ``held``
    is the number of claimed jobs. ``open`` and ``closed`` count partitions: jobs of an open one
    may be claimed; a closed one is empty or full, or waits for its rate.
    """

    name: str
    limits: Limits
    source: str
    held: int
    open: int | None = None
    closed: int | None = None


def load(tx: Transaction) -> dict[str, Limits | None]:
    """Return the limits set at run time by name; None for a limit whose jobs are only counted."""
    rows = tx.execute("SELECT name, concurrency, rate, burst FROM rolehost_limits").fetchall()
    return {name: _limits(*numbers) for name, *numbers in rows}


def _limits(concurrency: int | None, rate: float | None, burst: int | None) -> Limits | None:
    if concurrency is None and rate is None:
        return None
    return Limits(concurrency=concurrency, rate=rate, burst=burst or 1)


def declared(actors: Mapping[str, Actor]) -> dict[str, Limits]:
    """Return the limits of actors, of their queues, and of each partition, by name."""
    found: dict[str, Limits] = {}
    for name, actor in actors.items():
        found[f"actor:{name}"] = actor.limits
        found[f"queue:{actor.queue}"] = actor.queue_limits
        found[f"partition:{name}"] = actor.partition_limits
    return found


def listing(
    database: Database, actors: Mapping[str, Actor], deployed: Collection[str]
) -> list[LimitStatus]:
    """Return the limits in force, and the actors with partitions, by name.

    ``actors`` are the durable ones of the deployment. ``deployed`` are the names of the limits
    that the deployment sets; others come from plugins.
    """
    rows = database.read("SELECT name, held, concurrency, rate, burst FROM rolehost_limits")
    held: dict[str, tuple[int, ...]] = {name: (count,) for name, count, *_ in rows}
    stored = {name: limits for name, _, *numbers in rows if (limits := _limits(*numbers))}
    known = declared(actors)
    held |= _partitions(database)
    held |= {name: _held(database, actors, name) for name in stored.keys() - known.keys()}
    partitioned = {f"partition:{name}" for name, actor in actors.items() if actor.partition}
    found = []
    for name in sorted(known.keys() | stored.keys()):
        limits = stored.get(name) or known[name]
        source = "deployment" if name in deployed else "plugin"
        if limits or name in partitioned:
            source = "run time" if name in stored else source
            found.append(LimitStatus(name, limits, source, *held.get(name, (0,))))
    return found


def _partitions(database: Database) -> dict[str, tuple[int, ...]]:
    """Return the claimed jobs, the open and the closed partitions of each actor."""
    rows = database.read(
        "SELECT actor, sum(held), sum(open), count(*) FROM rolehost_partitions"
        " WHERE kind = 'partition' GROUP BY actor"
    )
    return {
        f"partition:{actor}": (int(jobs), int(opened), count - int(opened))
        for actor, jobs, opened, count in rows
    }


def _held(database: Database, actors: Mapping[str, Actor], name: str) -> tuple[int]:
    """Return the claimed jobs of one partition, or of a limit of another deployment."""
    owner, value = _partition_of(actors, name)
    wanted: str | int = name
    sql = "SELECT held FROM rolehost_limits WHERE name = ?"
    if owner is not None:
        wanted = of_partition(value, owner.queue, owner.name).id
        sql = "SELECT held FROM rolehost_partitions WHERE id = ?"
    rows = database.read(sql, (wanted,))
    return (rows[0][0] if rows else 0,)


def _partition_of(actors: Mapping[str, Actor], name: str) -> tuple[Actor | None, str]:
    """Return the actor and the value of ``partition:ACTOR/VALUE``; None for other names."""
    for actor in actors.values():
        prefix = f"partition:{actor.name}/"
        if name.startswith(prefix):
            return actor, name.removeprefix(prefix)
    return None, ""


def full_name(actors: Mapping[str, Actor], name: str, partition: str | None = None) -> str:
    """Return the name of the limit of an actor, a queue, or one partition of an actor.

    Raises:
        UnknownLimit: the deployment has no such actor or queue, or a queue has no partitions.
        ValueError: ``partition`` is not the value of a partition.
    """
    known = [each for each in declared(actors) if not each.startswith("partition:")]
    if name not in known:
        hint = did_you_mean(name, known) or f"expected one of {one_of(known)}"
        raise UnknownLimit(f"nothing with limits is named {name!r} in this deployment; {hint}")
    if partition is None:
        return name
    kind, _, actor = name.partition(":")
    if kind != "actor":
        raise UnknownLimit(f"{name} has no partitions; name an actor, for example {known[0]}")
    return f"partition:{actor}/{values.text('partition', partition)}"


def change(
    tx: Transaction, actors: Mapping[str, Actor], name: str, now: int, **numbers: Any
) -> Limits:
    """Change numbers of a limit at run time, and return the limit; see :func:`full_name`.

    ``numbers`` are fields of :class:`Limits`; the other fields keep their values. ``now`` is in
    milliseconds. Raises ValueError or TypeError if the limit is not valid.
    """
    owner, _ = _partition_of(actors, name)
    of_each = f"partition:{owner.name}" if owner else name
    current = load(tx).get(name) or declared(actors).get(of_each, NO_LIMITS)
    limits = dataclasses.replace(current, **numbers)
    if not limits:
        raise ValueError("a limit needs a concurrency or a rate")
    store(tx, name, limits, now)
    return limits


def ensure(tx: Transaction, names: Iterable[str]) -> None:
    """Begin to count the jobs of limits."""
    for name in sorted(names):
        tx.execute("INSERT INTO rolehost_limits (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        recount_limit(tx, name)


def store(tx: Transaction, name: str, limits: Limits, now: int) -> None:
    """Set a limit at run time; ``now`` is in milliseconds. Processes follow within a second."""
    ensure(tx, [name])
    tx.execute(
        "UPDATE rolehost_limits SET concurrency = ?, rate = ?, burst = ?, changed_at = ?"
        " WHERE name = ?",
        (limits.concurrency, limits.rate, limits.burst, now, name),
    )


def reset(tx: Transaction, name: str, now: int) -> bool:
    """Return to the limit of the deployment or the plugin; False if none was set at run time."""
    changed = tx.execute(
        "UPDATE rolehost_limits SET concurrency = NULL, rate = NULL, burst = NULL, changed_at = ?"
        " WHERE name = ? AND (concurrency IS NOT NULL OR rate IS NOT NULL)",
        (now, name),
    ).rowcount
    return bool(changed)


def remove(tx: Transaction, name: str) -> None:
    """Remove the limit of one partition; its jobs are counted elsewhere."""
    tx.execute("DELETE FROM rolehost_limits WHERE name = ?", (name,))


def recount_limit(tx: Transaction, name: str) -> None:
    """Count the claimed jobs of a limit anew; the row stays locked until the transaction ends."""
    kind, _, value = name.partition(":")
    if kind == "partition":
        return  # counted in rolehost_partitions
    tx.execute("UPDATE rolehost_limits SET held = held WHERE name = ?", (name,))
    # A separate statement, so that it sees all claims that were committed before the lock.
    tx.execute(
        f"UPDATE rolehost_limits SET held = {_FREED.format(of=f'{kind} = ?')}"
        f" + (SELECT count(*) FROM rolehost_jobs WHERE {kind} = ? AND {_HELD}) WHERE name = ?",
        (value, value, name),
    )


def recount(tx: Transaction, *, skips: bool, served_before_us: int) -> None:
    """Correct the counts of limits and partitions.

    They are wrong after processes of an older version, which do not count, have run jobs.
    Partitions of which a claim took jobs since ``served_before_us`` are left out, and so are
    locked rows if the database ``skips`` them.
    """
    lock = " FOR UPDATE SKIP LOCKED" if skips else ""
    for (name,) in tx.execute(f"SELECT name FROM rolehost_limits ORDER BY name{lock}").fetchall():
        recount_limit(tx, name)
    rows = tx.execute(
        f"SELECT id FROM rolehost_partitions WHERE held > 0 AND turn < ? LIMIT 1000{lock}",
        (served_before_us,),
    ).fetchall()
    if rows:
        numbers = [row[0] for row in rows]
        tx.execute(
            "UPDATE rolehost_partitions SET open = 1, held ="
            f" {_FREED.format(of='partition_id = rolehost_partitions.id')}"
            " + (SELECT count(*) FROM rolehost_jobs WHERE partition_id = rolehost_partitions.id"
            f" AND {_HELD}) WHERE id IN ({marks(numbers)})",
            numbers,
        )


def rewind(tx: Transaction, now_us: int, *, skips: bool) -> None:
    """Correct times of partitions that are in the future because the clock was set back.

    Otherwise a partition that was served then would have its next turn after all others, and a
    partition that waits for its rate would stay closed. Claims correct ``next_at_us``. Locked rows
    are left out if the database ``skips`` them. ``now_us``: microseconds.
    """
    lock = " FOR UPDATE SKIP LOCKED" if skips else ""
    least = {
        name: f"{name} = (CASE WHEN {name} > ? THEN ? ELSE {name} END)"
        for name in ("turn", "due_at_us")
    }
    later = " OR ".join(f"{name} > ?" for name in least)
    tx.execute(
        f"UPDATE rolehost_partitions SET {', '.join(least.values())} WHERE id IN"
        f" (SELECT id FROM rolehost_partitions WHERE {later}{lock})",
        (now_us,) * 6,
    )
