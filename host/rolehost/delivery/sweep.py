"""The sweep: hands back what dead processes held, and lets go what retention says.

Any process may sweep; a lease lets one at a time. It is for crashes only: nothing that goes
well waits for it.
"""

from __future__ import annotations

import structlog

from rolehost.delivery import leases
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable

log = structlog.get_logger(__name__)

#: Rows deleted in one transaction, so that retention never holds the write lock for long.
BATCH = 1000


def release_dead(runtime: DeliveryRuntime) -> int:
    """Hand back everything that processes held which do not live; return how many of them."""
    presence = leases.Presence(runtime.database, runtime.clock, runtime.policy.lease)
    with runtime.database.session():
        gone = {*presence.gone(), *runtime.ledger.strays()}
    count = 0
    for owner in sorted(gone):
        try:
            count += _release(runtime, owner)
        except StorageUnavailable:
            raise
        except Exception:  # what one process held must not keep what the others did
            log.exception("the work of a process cannot be handed back", process=owner)
    return count


def _release(runtime: DeliveryRuntime, owner: str) -> int:
    """Hand back what one process held; return 1, or 0 if it lives."""
    with runtime.database.session(), runtime.database.transaction() as tx:
        # It may have been late, and have renewed its row since it was looked at.
        if leases.alive(tx, owner, runtime.clock.now()):
            return 0
        queues = runtime.ledger.release(tx, owner)
        leases.forget(tx, owner)
        leases.remember_crash(tx, owner.partition(".")[0], runtime.clock.now())
    log.warning("process gone, its work handed back", process=owner, queues=sorted(queues))
    runtime.wake({"leases", "outbox", *(f"queue:{queue}" for queue in queues)})
    return 1


def retain(runtime: DeliveryRuntime) -> int:
    """Delete finished jobs, marks and responses past their time; return how many rows."""
    policy, now = runtime.policy, runtime.clock.now()

    def before(seconds: float) -> int:
        return now - int(seconds * 1000)

    total = 0
    for states, keep in (
        (("completed", "cancelled"), policy.keep_completed),
        (("dead",), policy.keep_dead),
    ):
        while True:
            with runtime.database.session(), runtime.database.transaction() as tx:
                count = runtime.ledger.trim(tx, states, before(keep), BATCH, now)
            total += count
            if count < BATCH:
                break
    for table, key, column, keep in (
        ("rolehost_inbox", "consumer_group, event", "handled_at", policy.keep_inbox),
        ("rolehost_started_events", "consumer_group, event", "started_at", policy.keep_inbox),
        ("rolehost_requests", "key", "created_at", policy.keep_idempotency),
        ("rolehost_dead_events", "id", "died_at", policy.keep_dead),
    ):
        while True:
            with runtime.database.session(), runtime.database.transaction() as tx:
                count = tx.execute(
                    f"DELETE FROM {table} WHERE ({key}) IN"
                    f" (SELECT {key} FROM {table} WHERE {column} < ? LIMIT ?)",
                    (before(keep), BATCH),
                ).rowcount
            total += count
            if count < BATCH:
                break
    return total
