"""Leases with *fencing tokens*, and the presence of live processes.

Each process renews one row, its presence. When the row expires, the process loses its claimed jobs
and named leases. A named lease (for example of the leading scheduler, or of a shard of the outbox)
has a token that rises with every change of owner. A shard is the part of the outbox that holds the
events of some keys.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rolehost import failpoints
from rolehost.api.services import Clock
from rolehost.storage import Database, Transaction

#: After a process of a role crashed, consumers record the start of each event for this many
#: seconds, to find a *poison message*.
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

    ``manifest`` is a hash. ``state`` is ``starting``, ``ready``, ``draining`` or ``hung``, and
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
        with self._database.session(), self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO rolehost_processes (id, deployment, role, slot, incarnation, host,"
                " pid, started_at, expires_at, renewed_at, manifest, version, python, state,"
                " in_flight) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at,"
                " renewed_at = excluded.renewed_at, state = excluded.state,"
                " in_flight = excluded.in_flight",
                (*me, machine_id(), os.getpid(), now, now + self._lease, now, *status),
            )

    def remove(self, me: Identity) -> None:
        """Remove the row of this process and its named leases, at a clean shutdown."""
        with self._database.session(), self._database.transaction() as tx:
            remove(tx, me.id)

    def ids(self, *, live: bool) -> list[str]:
        """Return the ids of the live processes, or of the dead ones, see :func:`is_live`."""
        now = self._clock.now()
        with self._database.session():
            rows = self._database.read("SELECT id, host, pid, expires_at FROM rolehost_processes")
        return [each for each, host, pid, end in rows if is_live(host, pid, end, now) == live]


def is_live(host: str, pid: int, expires_at: int, now: int) -> bool:
    """Return whether a presence row is valid; if it is of this machine, its process must exist."""
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


def remove(tx: Transaction, owner: str) -> None:
    """Remove a process's presence and its named leases within a transaction."""
    tx.execute("DELETE FROM rolehost_leases WHERE owner = ?", (owner,))
    tx.execute("DELETE FROM rolehost_processes WHERE id = ?", (owner,))


def record_crash(tx: Transaction, role: str, now: int) -> None:
    """Record that a process of a role died, for :func:`crashed_recently`."""
    tx.execute(
        "INSERT INTO rolehost_leases (name, owner, token, expires_at) VALUES (?, '', 0, ?)"
        " ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
        (f"crashed:{role}", now + int(CRASH_MEMORY * 1000)),
    )


def crashed_recently(database: Database, role: str, now: int) -> bool:
    """Return whether a process of a role died in the last ``CRASH_MEMORY`` seconds."""
    sql = "SELECT 1 FROM rolehost_leases WHERE name = ? AND expires_at > ?"
    with database.session():
        return bool(database.read(sql, (f"crashed:{role}", now)))


def acquire(database: Database, clock: Clock, name: str, owner: str, ttl: float) -> int | None:
    """Take or renew a lease for ``ttl`` seconds; return its fencing token.

    None if another process holds it, which means that it ends between now and ``far``.
    """
    now = clock.now()
    far = now + int((ttl + MAX_CLOCK_SKEW) * 1000)
    with database.session():
        held = database.read(
            "SELECT owner, expires_at FROM rolehost_leases WHERE name = ?", (name,)
        )
        # The same condition as in the statement below: a process that waits takes no write lock.
        if held and held[0][0] != owner and now <= held[0][1] <= far:
            return None
        with database.transaction() as tx:
            row = tx.execute(
                "INSERT INTO rolehost_leases (name, owner, token, expires_at)"
                " VALUES (?, ?, 1, ?) ON CONFLICT (name) DO UPDATE SET"
                " token = rolehost_leases.token + (CASE WHEN rolehost_leases.owner"
                " = excluded.owner THEN 0 ELSE 1 END),"
                " owner = excluded.owner, expires_at = excluded.expires_at"
                " WHERE rolehost_leases.owner = excluded.owner OR rolehost_leases.expires_at < ?"
                " OR rolehost_leases.expires_at > ? RETURNING token",
                (name, owner, now + int(ttl * 1000), now, far),
            ).fetchone()
    if row is None:
        return None
    failpoints.reach("lease.after_acquire")
    return int(row[0])
