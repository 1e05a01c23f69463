"""The sweep: hands back what dead processes held, and deletes rows past their retention.

Any process may sweep; a lease lets one at a time. Handing back is for crashes only: work that
ends normally never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from rolehost.delivery import leases
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageUnavailable
from rolehost.storage import Transaction

log = structlog.get_logger(__name__)

#: Rows deleted in one transaction, so that retention never holds the write lock for long.
BATCH = 1000


def release_dead(runtime: DeliveryRuntime) -> int:
    """Hand back everything that dead processes held; return how many processes they were."""
    presence = leases.Presence(runtime.database, runtime.clock, runtime.policy.lease)
    with runtime.database.session():
        gone = {*presence.gone(), *runtime.ledger.strays()}
    count = 0
    for owner in sorted(gone):
        try:
            count += _release(runtime, owner)
        except StorageUnavailable:
            raise
        except Exception:  # the work of the other processes is still handed back
            log.exception("the work of a process cannot be handed back", process=owner)
    return count


def _release(runtime: DeliveryRuntime, owner: str) -> int:
    """Hand back what one process held; return 1, or 0 if it lives."""
    now = runtime.clock.now()
    with runtime.database.session(), runtime.database.transaction() as tx:
        # It may have been late, and renewed its row since the list was read.
        if leases.alive(tx, owner, now):
            return 0
        queues = runtime.ledger.release(tx, owner)
        leases.forget(tx, owner)
        leases.remember_crash(tx, owner.partition(".")[0], now)
    log.warning("process gone, its work handed back", process=owner, queues=sorted(queues))
    runtime.wake({"leases", "outbox", *(f"queue:{queue}" for queue in queues)})
    return 1


def retain(runtime: DeliveryRuntime) -> int:
    """Delete finished jobs, marks and responses past their retention; return how many rows."""
    policy, now = runtime.policy, runtime.clock.now()
    trim = partial(runtime.ledger.trim, limit=BATCH, now=now)
    deletions: list[tuple[Callable[..., int], float]] = [
        (partial(trim, states=("completed", "cancelled")), policy.keep_completed),
        (partial(trim, states=("dead",)), policy.keep_dead),
        (_rows("rolehost_inbox", "consumer_group, event", "handled_at"), policy.keep_inbox),
        (
            _rows("rolehost_started_events", "consumer_group, event", "started_at"),
            policy.keep_inbox,
        ),
        (_rows("rolehost_requests", "key", "created_at"), policy.keep_idempotency),
        (_rows("rolehost_dead_events", "id", "died_at"), policy.keep_dead),
    ]
    total = 0
    for delete, keep in deletions:
        count = BATCH
        while count == BATCH:
            with runtime.database.session(), runtime.database.transaction() as tx:
                count = delete(tx, before=now - int(keep * 1000))
            total += count
    return total


def _rows(table: str, key: str, column: str) -> Callable[..., int]:
    """Return a function that deletes a batch of a table's rows older than ``before``."""
    sql = (
        f"DELETE FROM {table} WHERE ({key}) IN"
        f" (SELECT {key} FROM {table} WHERE {column} < ? LIMIT ?)"
    )

    def delete(tx: Transaction, *, before: int) -> int:
        return tx.execute(sql, (before, BATCH)).rowcount

    return delete
