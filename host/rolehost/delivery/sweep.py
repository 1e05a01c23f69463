"""The sweep: hands back the work of dead processes, and deletes rows past their retention.

Only the holder of the lease ``sweep`` sweeps periodically. Every process also hands back the work
of dead processes when it starts. A process that stops normally hands back its own work.
"""

from __future__ import annotations

import structlog

from rolehost.delivery import leases, limitstore
from rolehost.delivery.jobs import FOR_A_PERIOD
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: Milliseconds after which the count of a partition that was not served is checked.
_COUNTS_SETTLE_MILLISECONDS = 60_000

#: Maximum number of rows deleted in one transaction, so that the write lock is held briefly.
BATCH = 1000


def release_dead(runtime: DeliveryRuntime) -> int:
    """Hand back the work of all dead processes; return the number of these processes."""
    presence = leases.Presence(runtime.database, runtime.clock, runtime.policy.lease)
    with runtime.database.session():
        gone = {*presence.ids(live=False), *runtime.ledger.orphaned_owners()}
    count = 0
    for owner in sorted(gone):
        try:
            count += _release(runtime, owner)
        except StorageUnavailable:
            raise
        except Exception:  # the work of the other processes is still handed back
            log.exception("the work of a process cannot be handed back", process=owner)
    return count


def recount_limits(runtime: DeliveryRuntime) -> None:
    """Correct the counts of limited jobs; see :func:`limitstore.recount`."""
    database = runtime.database
    before = (runtime.clock.now() - _COUNTS_SETTLE_MILLISECONDS) * 1000
    with database.session():
        if not database.read(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM rolehost_limits)"
            " OR EXISTS (SELECT 1 FROM rolehost_partitions)"
        ):
            return
        with database.transaction() as tx:
            skips = "skip-locked" in database.capabilities
            limitstore.recount(tx, skips=skips, served_before_us=before)


def _release(runtime: DeliveryRuntime, owner: str) -> int:
    """Hand back the work of one process; return 1, or 0 if it lives."""
    now = runtime.clock.now()
    with runtime.database.session(), runtime.database.transaction() as tx:
        # The process may have renewed its row late, after the list was read.
        if leases.is_live_in(tx, owner, now):
            return 0
        queues = runtime.ledger.release(tx, owner)
        leases.remove(tx, owner)
        role = owner.partition(".")[0]  # see leases.Identity
        leases.record_crash(tx, role, now)
    log.warning("process gone, its work handed back", process=owner, queues=sorted(queues))
    runtime.wake({"leases", "outbox", *(f"queue:{queue}" for queue in queues)})
    return 1


def delete_expired(runtime: DeliveryRuntime) -> int:
    """Delete rows past their retention: finished jobs, inbox marks, responses, dead events.

    Return how many were deleted.
    """
    policy, now = runtime.policy, runtime.clock.now()
    # A job that is unique for a period stays until the period is over.
    ended = f"finished_at < ? AND (unique_held <> {FOR_A_PERIOD} OR unique_until <= {now})"
    completed = f"state IN ('completed', 'cancelled') AND {ended}"
    total = 0
    # Each condition has one parameter: the oldest time that is kept.
    for table, key, condition, keep in (
        ("jobs", "id", completed, policy.keep_completed),
        ("jobs", "id", f"state = 'dead' AND {ended}", policy.keep_dead),
        ("inbox", "consumer_group, event", "handled_at < ?", policy.keep_inbox),
        ("started_events", "consumer_group, event", "started_at < ?", policy.keep_inbox),
        ("requests", "key", "created_at < ?", policy.keep_idempotency),
        ("dead_events", "id", "died_at < ?", policy.keep_dead),
    ):
        sql = (
            f"DELETE FROM rolehost_{table} WHERE ({key}) IN"
            f" (SELECT {key} FROM rolehost_{table} WHERE {condition} LIMIT ?)"
        )
        count = BATCH
        while count == BATCH:
            with runtime.database.session(), runtime.database.transaction() as tx:
                count = tx.execute(sql, (now - int(keep * 1000), BATCH)).rowcount
            total += count
    return total
