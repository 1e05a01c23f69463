"""Named leases, and the presence of live processes.

Each process renews one row, its presence. When the row expires, the process loses its claimed jobs
and named leases. A named lease (for example of the leading scheduler, or of a shard of the outbox)
only saves work: two owners at the same time, for example after a failover, do no harm, because
each tick, event and job is fenced by its own row. A shard is the part of the outbox that holds the
events of some keys.

The statements skip rows that another process has locked, because that process may be lost. Only the
first insertion of a lease may wait.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rolehost import failpoints
from rolehost.api.services import Clock
from rolehost.delivery.statements import marks
from rolehost.storage import Database, Transaction

#: Seconds for which the crash of a process is remembered. A consumer that gets partitions in this
#: time records the starts of their first events, to find a *poison message*.
CRASH_MEMORY = 600.0
#: Maximum *clock skew* in seconds. A lease that ends later than now + duration + skew counts as
#: expired: a wrong clock wrote it, and it would block others long after its holder died.
MAX_CLOCK_SKEW = 600.0


class Identity(NamedTuple):
    """Identifies a process in presence rows and leases.

    ``id`` is ``ROLE.SLOT.INCARNATION-PID-RANDOM``. ``slot`` numbers the processes of a role, from
    0. ``incarnation`` counts the processes that were started in the slot, from 1.
    """

    id: str
    deployment: str
    role: str
    slot: int
    incarnation: int


class Pulse(NamedTuple):
    """The status that a process writes at each renewal.

    ``manifest`` is a hash. ``state`` is ``starting``, ``ready``, ``draining`` or ``hung``, or
    ``unready: worker.0 hangs`` if another process of the deployment hangs. ``in_flight`` counts
    requests, jobs or events; None if the role does not count them.
    """

    manifest: str
    version: str
    python: str
    state: str
    in_flight: int | None


@cache
def machine_id() -> str:
    """Identify this machine and its PID namespace, in which a pid is unique."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        namespace = boot = ""
    return f"{socket.gethostname()} {boot} {namespace}".strip()


class Presence:
    """The presence rows of processes."""

    def __init__(self, database: Database, clock: Clock, lease: float) -> None:
        self._database = database
        self._clock = clock
        self._lease = int(lease * 1000)

    def renew(self, me: Identity, pulse: Pulse | None = None) -> None:
        """Insert or renew the row of this process, with or without its status."""
        now = self._clock.now()
        status = pulse or (None,) * len(Pulse._fields)
        renewed = (now + self._lease, now, *status[-2:])
        with self._database.session(), self._database.transaction() as tx:
            if tx.execute(
                "UPDATE rolehost_processes SET expires_at = ?, renewed_at = ?, state = ?,"
                " in_flight = ? WHERE id IN"
                f" (SELECT id FROM rolehost_processes WHERE id = ?{skip_locked(self._database)})",
                (*renewed, me.id),
            ).rowcount:
                return
            tx.execute(
                "INSERT INTO rolehost_processes (id, deployment, role, slot, incarnation, host,"
                " pid, started_at, expires_at, renewed_at, manifest, version, python, state,"
                f" in_flight) SELECT {marks(range(15))} WHERE NOT EXISTS"
                " (SELECT 1 FROM rolehost_processes WHERE id = ?) ON CONFLICT DO NOTHING",
                (*me, machine_id(), os.getpid(), now, *renewed[:2], *status, me.id),
            )

    def remove(self, me: Identity) -> None:
        """Remove the row of this process and its named leases, at a clean shutdown."""
        with self._database.session(), self._database.transaction() as tx:
            remove(self._database, tx, me.id)

    def ids(self, *, live: bool) -> list[str]:
        """Return the ids of the live processes, or of the dead ones, see :func:`is_live`."""
        now = self._clock.now()
        with self._database.session():
            rows = self._database.read("SELECT id, host, pid, expires_at FROM rolehost_processes")
        return [each for each, host, pid, end in rows if is_live(host, pid, end, now) == live]


def is_live(host: str, pid: int, expires_at: int, now: int) -> bool:
    """Return whether a presence row is valid; on this machine, its process must exist too."""
    return expires_at >= now and (host != machine_id() or _pid_exists(pid))


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_live_in(tx: Transaction, owner: str, now: int) -> bool:
    """Return within a transaction whether a process has presence and lives."""
    sql = "SELECT host, pid, expires_at FROM rolehost_processes WHERE id = ?"
    row = tx.execute(sql, (owner,)).fetchone()
    return row is not None and is_live(row[0], row[1], row[2], now)


def remove(database: Database, tx: Transaction, owner: str) -> bool:
    """Remove a process's presence and its named leases; return whether the presence was removed.

    A locked row is left: a lease expires by itself, and the next sweep finds the presence.
    """
    skip = skip_locked(database)
    tx.execute(
        "DELETE FROM rolehost_leases WHERE name IN"
        f" (SELECT name FROM rolehost_leases WHERE owner = ?{skip})",
        (owner,),
    )
    found = tx.execute(
        "DELETE FROM rolehost_processes WHERE id IN"
        f" (SELECT id FROM rolehost_processes WHERE id = ?{skip})",
        (owner,),
    )
    return found.rowcount > 0


def skip_locked(database: Database) -> str:
    """Return the clause that locks the rows of a SELECT, except those that are locked already."""
    return " FOR UPDATE SKIP LOCKED" if "skip-locked" in database.capabilities else ""


def record_crash(database: Database, tx: Transaction, role: str, now: int) -> None:
    """Record that a process of a role died, for :func:`crashed_recently`."""
    _put(database, tx, f"crashed:{role}", "", now + int(CRASH_MEMORY * 1000), "1 = 1", ())


def crashed_recently(database: Database, role: str, now: int) -> bool:
    """Return whether a process of a role died in the last ``CRASH_MEMORY`` seconds."""
    sql = "SELECT 1 FROM rolehost_leases WHERE name = ? AND expires_at > ?"
    with database.session():
        return bool(database.read(sql, (f"crashed:{role}", now)))


def acquire(database: Database, clock: Clock, name: str, owner: str, ttl: float) -> bool:
    """Take or renew a lease for ``ttl`` seconds; return whether this process holds it.

    Another process holds it if its lease has not expired; see ``MAX_CLOCK_SKEW``.
    """
    now = clock.now()
    far = now + int((ttl + MAX_CLOCK_SKEW) * 1000)
    with database.session():
        held = database.read(
            "SELECT owner, expires_at FROM rolehost_leases WHERE name = ?", (name,)
        )
        # This is the condition of the statement below, so a process that waits takes no write lock.
        if held and held[0][0] != owner and now <= held[0][1] <= far:
            return False
        free = "owner = ? OR expires_at < ? OR expires_at > ?"
        with database.transaction() as tx:
            end = now + int(ttl * 1000)
            taken = _put(database, tx, name, owner, end, free, (owner, now, far))
    if taken:
        failpoints.reach("lease.after_acquire")
    return taken


def _put(
    database: Database,
    tx: Transaction,
    name: str,
    owner: str,
    expires_at: int,
    condition: str,
    params: tuple[str | int, ...],
) -> bool:
    """Insert the row, or update it if it meets the condition and is not locked."""
    changed = tx.execute(
        "UPDATE rolehost_leases SET owner = ?, expires_at = ? WHERE name IN (SELECT name"
        f" FROM rolehost_leases WHERE name = ? AND ({condition}){skip_locked(database)})",
        (owner, expires_at, name, *params),
    ).rowcount
    if changed:
        return True
    return bool(
        tx.execute(
            "INSERT INTO rolehost_leases (name, owner, token, expires_at) SELECT ?, ?, 0, ?"
            " WHERE NOT EXISTS (SELECT 1 FROM rolehost_leases WHERE name = ?)"
            " ON CONFLICT DO NOTHING",
            (name, owner, expires_at, name),
        ).rowcount
    )
