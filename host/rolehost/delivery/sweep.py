"""The sweep: hands back the work of dead processes, ends expired jobs, corrects counts of limits.

Only the holder of the lease ``sweep`` sweeps periodically. Every process also hands back the work
of dead processes when it starts. A process that stops normally hands back its own work.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from rolehost.delivery import changes, leases, limitstore
from rolehost.delivery.jobs import EXPIRED
from rolehost.delivery.ledger import PARTITION_COLUMNS, announce
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: The migration of the phase *post* after which no process of a version without limits runs.
_ROLLED_OUT = "SELECT 1 FROM rolehost_migrations WHERE owner = 'rolehost' AND number = 7"

#: Maximum number of expired jobs that one transaction cancels.
_EXPIRED = 1000
_EXPIRED_ROWS = (
    "SELECT id FROM rolehost_jobs WHERE expires_at <= ? AND expires_at IS NOT NULL"
    " AND state IN ('available', 'scheduled', 'retrying')"
    f" ORDER BY expires_at LIMIT {_EXPIRED}"
)

#: The count of a partition is checked if no job of it was claimed for this many milliseconds.
_COUNTS_SETTLE_MILLISECONDS = 60_000


def release_expired(runtime: DeliveryRuntime) -> int:
    """Hand back the work of processes with an expired lease; return how many processes."""
    presence = leases.Presence(runtime.database, runtime.clock, runtime.policy.lease)
    return _release_all(runtime, presence.ids(live=False))


def release_dead(runtime: DeliveryRuntime) -> int:
    """Hand back the work of all dead processes; return the number of these processes.

    Reads the index of all claims. This takes long while an old transaction keeps PostgreSQL from
    removing the entries of jobs that are no longer claimed.
    """
    with runtime.database.session():
        orphaned = runtime.ledger.orphaned_owners()
    return release_expired(runtime) + _release_all(runtime, orphaned)


def _release_all(runtime: DeliveryRuntime, owners: Iterable[str]) -> int:
    count = 0
    for owner in sorted(owners):
        try:
            count += _release(runtime, owner)
        except StorageUnavailable:
            raise
        except Exception:  # the work of the other processes is still handed back
            log.exception("the work of a process cannot be handed back", process=owner)
    return count


def end_expired(runtime: DeliveryRuntime) -> int:
    """Cancel the waiting jobs whose time has passed; return their number.

    Workers check the time when an attempt starts. But a job may wait for a limit, for the job
    before it of its key, for its next attempt, or for a worker that runs its actor.
    """
    database = runtime.database
    skips = "skip-locked" in database.capabilities
    chosen = (
        f"= ANY(ARRAY({_EXPIRED_ROWS} FOR UPDATE SKIP LOCKED))"
        if skips
        else f"IN ({_EXPIRED_ROWS})"
    )
    sql = (
        "UPDATE rolehost_jobs SET state = 'cancelled', error = ?, finished_at = ?"
        f" WHERE id {chosen} RETURNING run_at, {PARTITION_COLUMNS}"
    )
    total, found = 0, _EXPIRED
    while found == _EXPIRED:
        now = runtime.clock.now()
        with database.session():
            # Read first, so that the write lock is taken only if there is work.
            if not database.read(_EXPIRED_ROWS, (now,)):
                break
            with database.transaction() as tx:
                rows = tx.execute(sql, (EXPIRED, now, now)).fetchall()
                announce(tx, [row[1:] for row in rows])  # the next job of a key may run now
        runtime.wake({f"queue:{row[3]}" for row in rows})
        for run_at, _, _, _, actor, _ in rows:
            runtime.recorder.job(actor, EXPIRED, max(0, now - run_at) / 1000, 0.0)
        found = len(rows)
        total += found
    return total


def recount_limits(runtime: DeliveryRuntime) -> None:
    """Correct the counts of limits, and announce forgotten jobs.

    See :func:`limitstore.recount` and :func:`changes.announce_forgotten`. Processes of a version
    without limits may run until the migrations of the phase *post* are applied.
    """
    database = runtime.database
    before = (runtime.clock.now() - _COUNTS_SETTLE_MILLISECONDS) * 1000
    with database.session():
        if not database.read(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM rolehost_limits)"
            " OR EXISTS (SELECT 1 FROM rolehost_partitions)"
            f" OR NOT EXISTS ({_ROLLED_OUT})"
        ):
            return
        with database.transaction() as tx:
            skips = "skip-locked" in database.capabilities
            limitstore.recount(tx, skips=skips, served_before_us=before)
            if not tx.execute(_ROLLED_OUT).fetchall():
                changes.announce_forgotten(tx)


def rewind_limits(runtime: DeliveryRuntime) -> None:
    """Correct the times of limits after the clock was set back; see :func:`limitstore.rewind`."""
    database = runtime.database
    with database.session(), database.transaction() as tx:
        skips = "skip-locked" in database.capabilities
        limitstore.rewind(tx, runtime.clock.now() * 1000, skips=skips)


def _release(runtime: DeliveryRuntime, owner: str) -> int:
    """Hand back the work of one process; return 1, or 0 if it lives or its rows are locked."""
    with runtime.database.session(), runtime.database.transaction() as tx:
        now = runtime.clock.now()
        # The process may have renewed its row late, after the list was read.
        if leases.is_live_in(tx, owner, now):
            return 0
        queues = runtime.ledger.release(tx, owner, now)
        present = leases.remove(runtime.database, tx, owner)
        if not queues and not present:
            return 0  # a transaction of that process has locked its rows until its session ends
        role = owner.partition(".")[0]  # see leases.Identity
        leases.record_crash(runtime.database, tx, role, now)
    log.warning("process gone, its work handed back", process=owner, queues=sorted(queues))
    runtime.wake({"leases", "outbox", *(f"queue:{queue}" for queue in queues)})
    return 1
