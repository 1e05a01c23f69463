"""The relay of the *transactional outbox*: publishes events to the stream, in order by key.

One process at a time holds the lease of a shard, so that two relays cannot reorder the events
of one key. Delivery is *at least once*: a relay that was frozen past its lease may publish its
batch again. Every relay publishes the rows of a shard in order, so the *first* appearance of each
event keeps the order, and the inbox drops the second.

Topics are independent. Events that the stream has stored are deleted from the outbox at once. If
publishing to a topic fails, only this topic is paused, with a separate back-off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from rolehost import failpoints
from rolehost.delivery import deadletters, leases, outbox
from rolehost.delivery.outbox import OutboxRow
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageError, StorageUnavailable
from rolehost.storage import Stream

log = structlog.get_logger(__name__)

#: Maximum number of rows that are published at once.
BATCH = 500
#: Milliseconds before the first retry of a failed topic, and the maximum; doubled each time.
FIRST_RETRY, MAX_RETRY = 1_000, 30_000
#: Maximum number of rows in a retry of a failed topic.
PROBE = 10


class _Paused(NamedTuple):
    """A failed topic: the time of its next retry, and the delay before it; milliseconds."""

    until: int
    delay: int


class Relay:
    """The relay of one process, driven by :meth:`step`; used by one thread."""

    def __init__(self, runtime: DeliveryRuntime, stream: Stream, owner: str) -> None:
        self._runtime = runtime
        self._stream = stream
        self._owner = owner
        self._shards: list[int] = []
        self._renew_at = 0
        self._paused: dict[str, _Paused] = {}
        #: Published rows by topic and id that another relay has locked; they are removed later.
        self._locked: dict[str, dict[int, OutboxRow]] = {}
        #: Whether rows may still wait after the last step.
        self._more = False

    def step(self) -> int:
        """Publish a batch of the shards that this relay holds; return how many rows were removed.

        Raises StorageUnavailable if database or stream cannot be reached; call it again later.
        """
        now = self._runtime.clock.now()
        if now >= self._renew_at:
            self._renew(now)
        if not self._shards:
            return 0
        left = 0
        with self._runtime.database.session():
            for topic, rows in self._batches(now):
                if self._runtime.clock.now() >= self._renew_at:
                    # Failed topics took so long that the leases may expire.
                    self._more = True
                    break
                failpoints.reach("outbox.before_relay")
                left += self._relay(topic, rows)
        return left

    def wait_seconds(self, longest: float) -> float:
        """Return the seconds to wait for a wake-up: 0 if rows are ready, at most ``longest``."""
        if self._more:
            return 0.0
        now = self._runtime.clock.now()
        return min([longest, *(max(0, each.until - now) / 1000 for each in self._paused.values())])

    def _batches(self, now: int) -> list[tuple[str, list[OutboxRow]]]:
        """Return the oldest rows by topic; paused topics that are due come last."""
        if not self._paused:
            locked = sum(map(len, self._locked.values()))
            rows = self._oldest(BATCH + locked)
            self._more = len(rows) - locked >= BATCH
            return _by_topic(rows)
        # A paused topic may have many rows, so the rows of other topics are queried by topic.
        ready = [
            topic for topic in outbox.topics(self._runtime.database) if topic not in self._paused
        ]
        found = [(topic, self._oldest(BATCH, topic)) for topic in ready]
        found += [
            (topic, self._oldest(PROBE, topic))
            for topic, paused in self._paused.items()
            if now >= paused.until
        ]
        for topic, rows in found:
            if not rows:
                # Another relay has the lease now, or the topic has no rows any more.
                self._paused.pop(topic, None)
        self._more = any(len(rows) in (BATCH, PROBE) for _, rows in found)
        return [(topic, rows) for topic, rows in found if rows]

    def _oldest(self, limit: int, topic: str | None = None) -> list[OutboxRow]:
        runtime = self._runtime
        return outbox.oldest(
            runtime.database, self._shards, runtime.policy.relay_shards, limit, topic
        )

    def _relay(self, topic: str, rows: Sequence[OutboxRow]) -> int:
        """Publish rows of one topic; return how many were removed from the outbox."""
        runtime = self._runtime
        locked = self._locked.pop(topic, {})
        # The whole row is compared, because a restored database gives the same ids again.
        published = [row for row in rows if locked.get(row.id) == row]
        fresh = [row for row in rows if locked.get(row.id) != row] if published else rows
        outcomes = self._publish(topic, fresh) if fresh else ()
        failpoints.reach("relay.after_send")
        gone, failure = published, None
        with runtime.database.transaction() as tx:
            for row, error in zip(fresh, outcomes, strict=True):
                if isinstance(error, StorageUnavailable):
                    failure = failure or error
                    continue
                if error is not None:
                    text = f"{type(error).__name__}: {error}"
                    log.error(
                        "event refused by the stream, now a dead letter",
                        topic=topic,
                        outbox_id=row.id,
                        error=" ".join(text.split()),
                    )
                    deadletters.add_unpublished(tx, row, text, runtime.clock.now())
                gone.append(row)
            removed = outbox.remove(runtime.database, tx, gone)
        if len(removed) < len(gone):
            self._locked[topic] = {row.id: row for row in gone if row.id not in removed}
        if removed:
            runtime.recorder.relayed(
                len(removed), (runtime.clock.now() - gone[0].created_at) / 1000
            )
        if failure is not None:
            self._pause(topic, failure)
        elif self._paused.pop(topic, None) is not None:
            log.warning("topic can be published to again", topic=topic)
        return len(removed)

    def _publish(self, topic: str, rows: Sequence[OutboxRow]) -> Sequence[StorageError | None]:
        try:
            return self._stream.publish_each([row.record for row in rows])
        except StorageUnavailable as error:
            return [error] * len(rows)
        except Exception as error:
            # The backend raised an unexpected error; other topics may still work.
            log.exception("the stream failed to publish", topic=topic)
            return [StorageUnavailable(f"{type(error).__name__}: {error}")] * len(rows)

    def _pause(self, topic: str, error: StorageUnavailable) -> None:
        """Do not publish to a topic for a while; raise if the stream does not answer at all."""
        self._stream.ping()
        before = self._paused.get(topic)
        delay = FIRST_RETRY if before is None else min(2 * before.delay, MAX_RETRY)
        self._paused[topic] = _Paused(self._runtime.clock.now() + delay, delay)
        log.warning(
            "topic cannot be published to, its events wait",
            topic=topic,
            retry_in=delay / 1000,
            error=str(error),
        )

    def _renew(self, now: int) -> None:
        policy = self._runtime.policy
        self._shards = [
            shard
            for shard in range(policy.relay_shards)
            if leases.acquire(
                self._runtime.database,
                self._runtime.clock,
                f"relay:{shard}",
                self._owner,
                policy.lease,
            )
        ]
        # Leases are renewed three times within their duration; free ones are tried as often.
        self._renew_at = now + int(policy.lease * 1000 / 3)

    def try_leases(self) -> None:
        """Try to take leases at the next step, because their owner may have died."""
        self._renew_at = 0


def _by_topic(rows: Sequence[OutboxRow]) -> list[tuple[str, list[OutboxRow]]]:
    found: dict[str, list[OutboxRow]] = {}
    for row in rows:
        found.setdefault(row.record.topic, []).append(row)
    return list(found.items())
