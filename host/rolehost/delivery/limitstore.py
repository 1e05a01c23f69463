"""The table ``rolehost_limits``: limits that were set at run time, and the counts of all limits."""

from __future__ import annotations

from collections.abc import Iterable

from rolehost.api.limits import Limits
from rolehost.delivery.statements import marks
from rolehost.storage import Transaction

_HELD = "state IN ('claimed', 'running')"
#: Claims whose end is committed, but not applied to the counts yet.
_FREED = "(SELECT coalesce(sum(freed), 0) FROM rolehost_partition_changes WHERE {of})"


def load(tx: Transaction) -> dict[str, Limits | None]:
    """Return the limits set at run time by name; None for a limit whose jobs are only counted."""
    rows = tx.execute("SELECT name, concurrency, rate, burst FROM rolehost_limits").fetchall()
    return {
        name: None
        if concurrency is None and rate is None
        else Limits(concurrency=concurrency, rate=rate, burst=burst or 1)
        for name, concurrency, rate, burst in rows
    }


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


def recount_limit(tx: Transaction, name: str) -> None:
    """Count the claimed jobs of a limit anew; the row stays locked until the transaction ends."""
    kind, _, value = name.partition(":")
    if kind == "partition":
        return  # counted in rolehost_partitions
    tx.execute("UPDATE rolehost_limits SET held = held WHERE name = ?", (name,))
    # A statement of its own, so that it sees all claims that were committed before the lock.
    tx.execute(
        f"UPDATE rolehost_limits SET held = {_FREED.format(of=f'{kind} = ?')}"
        f" + (SELECT count(*) FROM rolehost_jobs WHERE {kind} = ? AND {_HELD}) WHERE name = ?",
        (value, value, name),
    )


def recount(tx: Transaction, *, skips: bool, served_before_us: int) -> None:
    """Correct the counts of limits and partitions.

    They are wrong after processes of an older version, which do not count, have run jobs.
    Partitions served since ``served_before_us`` are left out, and so are locked rows if the
    database ``skips`` them.
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
