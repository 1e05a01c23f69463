"""The relay: takes events from the outbox to the stream, in the order of each key.

One process at a time holds the lease of a shard, so that two writers of one key cannot
overtake each other. A relay that was frozen past its lease may publish its batch again; since
every relay publishes the rows of a shard in order, the *first* appearance of each event keeps
the order, and the inbox drops the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from rolehost import failpoints
from rolehost.delivery import deadletters, leases, outbox
from rolehost.delivery.engine import Engine
from rolehost.delivery.outbox import Waiting
from rolehost.errors import StorageError, StorageUnavailable
from rolehost.storage import Stream

log = structlog.get_logger(__name__)

#: Rows handed to the stream at once.
BATCH = 500


class Relay:
    """The relay of one process, driven by :meth:`step`; used by one thread."""

    def __init__(self, engine: Engine, stream: Stream, owner: str) -> None:
        self._engine = engine
        self._stream = stream
        self._owner = owner
        self._held: list[int] = []
        self._renew_at = 0

    def step(self) -> int:
        """Publish one batch of the shards whose leases are ours; return how many rows.

        Raises:
            StorageUnavailable: database or stream cannot be reached; step again later.
        """
        engine = self._engine
        now = engine.clock.now()
        if now >= self._renew_at:
            self._renew(now)
        if not self._held:
            return 0
        with engine.database.session():
            rows = outbox.waiting(engine.database, self._held, engine.policy.relay_shards, BATCH)
            if not rows:
                return 0
            failpoints.reach("outbox.before_relay")
            refused = self._publish(rows)
            failpoints.reach("relay.after_send")
            with engine.database.transaction() as tx:
                for row, error in refused:
                    deadletters.bury_unpublished(tx, row, error, engine.clock.now())
                outbox.remove(tx, rows)
        age = (engine.clock.now() - rows[0].created_at) / 1000
        engine.recorder.relayed(len(rows), age)
        return len(rows)

    def _publish(self, rows: Sequence[Waiting]) -> list[tuple[Waiting, str]]:
        """Publish rows; return those that the stream will never take, each with its error.

        Raises:
            StorageUnavailable: the stream is away; all rows are to be published again.
        """
        try:
            self._stream.publish([row.record for row in rows])
            return []
        except StorageUnavailable:
            raise
        except StorageError:
            # One of them is refused for what it is. Repeating some of the others does no harm.
            pass
        refused = []
        for row in rows:
            try:
                self._stream.publish([row.record])
            except StorageUnavailable:
                raise
            except StorageError as error:
                log.error("event refused by the stream, now a dead letter", error=str(error))
                refused.append((row, f"{type(error).__name__}: {error}"))
        return refused

    def _renew(self, now: int) -> None:
        policy = self._engine.policy
        self._held = [
            shard
            for shard in range(policy.relay_shards)
            if leases.acquire(
                self._engine.database,
                self._engine.clock,
                f"relay:{shard}",
                self._owner,
                policy.lease,
            )
        ]
        # Held leases are renewed three times within their life; free ones are tried as often.
        self._renew_at = now + int(policy.lease * 1000 / 3)

    def try_leases(self) -> None:
        """Try for leases at the next step, because their owner may have died."""
        self._renew_at = 0
