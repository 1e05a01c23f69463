"""Rows of the jobs ledger: new, claimed and ended jobs, and their states.

States: ``available`` can be claimed · ``scheduled`` waits for ``run_at`` · ``claimed`` is held by a
process (its lease works like the *visibility timeout* of a queue) · ``running`` has a recorded
start · ``retrying`` waits for its next attempt · ``completed``, ``cancelled`` and ``dead`` are
final.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rolehost.delivery.changes import Change, change
from rolehost.delivery.coroutines import EndedCoroutine
from rolehost.delivery.history import Attempted
from rolehost.delivery.limits import Name, of_key, of_partition

#: States of unfinished jobs, states of finished jobs, and all states in the order of a job's life.
ACTIVE = ("available", "scheduled", "claimed", "running", "retrying")
FINISHED = frozenset({"completed", "cancelled", "dead"})
STATES = (*ACTIVE, "completed", "cancelled", "dead")

#: The ``error`` of a cancelled job whose time ``expires_at`` passed before an attempt started.
EXPIRED = "expired"

#: Values of ``unique_held``: until a process takes the job, until it is over, for a period.
UNTIL_STARTED, UNTIL_ENDED, FOR_A_PERIOD = 1, 2, 3


class NewJob(NamedTuple):
    """A row to be inserted, in the order of the columns.

    ``held`` is 0 if the job has no ``unique``. ``until`` is in milliseconds, for ``FOR_A_PERIOD``.
    ``expires_at`` is in milliseconds; None: never.
    A job is *limited* if it has a key or a partition, or if limits apply to its actor or queue. An
    unlimited job has no ``partition_id``.
    """

    queue: str
    actor: str
    state: str
    priority: int
    run_at: int
    arguments: bytes
    key: str | None
    unique: str | None
    enqueued_at: int
    cause: str | None
    held: int = 0
    until: int | None = None
    partition: str | None = None
    partition_id: int | None = None
    expires_at: int | None = None

    def waits(self) -> Change | None:
        """Return the change that this job appends; None if it is unlimited or waits for a time."""
        if self.partition_id is None or self.state != "available":
            return None
        return change(partition_of(self.key, self.partition, self.queue, self.actor))


class ClaimedJob(msgspec.Struct, frozen=True):
    """A row that this process holds.

    ``suspect`` is 1 if a process died while it held the job, which may be a *poison message*.
    ``partition_id`` is None if the job is unlimited (:class:`NewJob`). ``row_error``: why the row
    cannot be read, if other software wrote it; the job becomes dead. ``coroutine`` is set when
    the coroutine of the job has ended.
    """

    id: int
    queue: str
    actor: str
    arguments: bytes
    attempt: int
    crashes: int
    suspect: int
    cancel: int
    token: int
    run_at: int
    enqueued_at: int
    key: str | None
    cause: str | None
    priority: int
    partition: str | None = None
    partition_id: int | None = None
    expires_at: int | None = None
    row_error: str | None = None
    coroutine: EndedCoroutine | None = None

    def freed(self) -> Change:
        """Return the change that the end of a limited job's claim makes."""
        assert self.partition_id is not None
        kind, value = ("partition", self.partition or "") if self.key is None else ("key", self.key)
        return Change(self.partition_id, kind, value, self.queue, self.actor, 1)


def partition_of(key: str | None, partition: str | None, queue: str, actor: str) -> Name:
    """Return the partition that the columns of a limited job name."""
    if key is not None:
        return of_key(key, queue, actor)
    return of_partition(partition, queue, actor)


class Finish(NamedTuple):
    """The end of an attempt; writing it releases the claim.

    ``run_at`` is the time when the job may run again, milliseconds; a finished job keeps it.
    ``counted``: the attempt counts. An ``error`` of None clears the column. ``stored``: nothing is
    left to write, because the end was committed with the job's effects, or the claim was lost
    (the state ``lost``). ``attempted``: what the history keeps of the attempt, or None.
    """

    state: str
    run_at: int
    counted: bool
    error: str | None
    stored: bool = False
    attempted: Attempted | None = None

    def as_stored(self) -> Finish:
        """Return the same end after it was committed."""
        return Finish(self.state, self.run_at, self.counted, self.error, True)
