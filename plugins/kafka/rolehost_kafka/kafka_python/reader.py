"""The thread that owns a consumer: the only one that polls it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from kafka import TopicPartition
from kafka.structs import MemberState
from rolehost.api import Partition, Record

from rolehost_kafka.kafka_python.failures import unavailable
from rolehost_kafka.kafka_python.lenient import plain_headers
from rolehost_kafka.kafka_python.mailbox import Mailbox
from rolehost_kafka.names import Names

#: Seconds of one round, which is the delay until a resumed partition is read. It is independent of
#: the caller's time-out, because a poll that ends during a join may restart the join.
ROUND = 0.5
#: Seconds without a record after which the brokers and topics are checked.
CHECK_AFTER = 5.0
#: Milliseconds that leaving the group may take.
LEAVE_TIMEOUT_MS = 5000


class Reader(threading.Thread):
    """Polls on demand, so that the caller's thread is free for callbacks.

    If the caller hangs, no poll follows, and the member leaves the group after ``poll_interval``
    seconds, as it should.

    Args:
        mailbox: has the demand and gets the records.
        names: removes the prefix from names.
        connect: returns a subscribed consumer.
        check: returns whether to join again; raises if brokers or topics are missing, because a
            consumer does not report that.
        join_timeout: seconds after which joining the group starts again.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        names: Names,
        *,
        connect: Callable[[], Any],
        check: Callable[[], bool],
        join_timeout: float,
    ) -> None:
        super().__init__(name="kafka-reader", daemon=True)
        self._mailbox = mailbox
        self._names = names
        self._connect = connect
        self._check = check
        self._join_timeout = join_timeout
        self._last_record_at = 0.0
        self._stable_at = 0.0
        #: The consumer, after it has connected.
        self.consumer: Any = None

    def run(self) -> None:
        """Poll until the mailbox closes; then leave the group."""
        mailbox = self._mailbox
        while True:
            with mailbox.changed:
                mailbox.changed.wait_for(lambda: mailbox.wanted or mailbox.closing)
                if mailbox.closing:
                    break
                limit, mailbox.wanted = mailbox.wanted, 0
                mailbox.running = True
                paused = {
                    TopicPartition(self._names.to_kafka(each.topic), each.number)
                    for each in mailbox.paused
                }
            found: list[Record] = []
            positions: dict[Partition, int] = {}
            failure = None
            try:
                found = self._round(limit, paused)
                positions = self._positions()
            except Exception as error:
                # The caller gets any error, and may poll again.
                failure = unavailable("polling", error)
            with mailbox.changed:
                mailbox.running = False
                mailbox.failure = failure
                mailbox.records.extend(found)
                mailbox.positions = positions
                mailbox.changed.notify_all()
        if self.consumer is not None:
            with contextlib.suppress(Exception):
                self.consumer.close(autocommit=False, timeout_ms=LEAVE_TIMEOUT_MS)
        with mailbox.changed:
            mailbox.ended = True
            mailbox.changed.notify_all()

    def _round(self, limit: int, paused: set[TopicPartition]) -> list[Record]:
        if self.consumer is None:
            self.consumer = self._connect()
            self._last_record_at = self._stable_at = time.monotonic()
        consumer = self.consumer
        owned = consumer.assignment()
        before = consumer.paused()
        consumer.pause(*(paused & owned) - before)
        consumer.resume(*before - paused)
        _keep_joining(consumer)
        found = consumer.poll(timeout_ms=round(ROUND * 1000), max_records=limit)
        now = time.monotonic()
        if found:
            self._last_record_at = now
        elif now - self._last_record_at > CHECK_AFTER:
            again = self._check()
            self._last_record_at = now
            if again:
                self._replace()
                return []
        self._watch(now)
        return [each for place, records in found.items() for each in self._records(place, records)]

    def _watch(self, now: float) -> None:
        """Replace a consumer that is stuck between two generations of the group.

        In that state it sends no heartbeats, so it would leave the group without notice.
        """
        if self.consumer.group_metadata().state == MemberState.STABLE:
            self._stable_at = now
        elif now - self._stable_at > self._join_timeout:
            self._replace()

    def _replace(self) -> None:
        """Close this consumer; the next round makes another one."""
        try:
            self.consumer.close(autocommit=False, timeout_ms=LEAVE_TIMEOUT_MS)
        finally:
            self.consumer = None

    def _records(self, place: TopicPartition, records: Iterable[Any]) -> list[Record]:
        partition = self._names.from_kafka(place.topic, place.partition)
        topic = partition.topic
        return [
            Record(
                topic,
                # Other producers may write records without a value.
                each.value or b"",
                each.key,
                plain_headers(each.headers),
                partition,
                each.offset,
                each.timestamp,
            )
            for each in records
        ]

    def _positions(self) -> dict[Partition, int]:
        """Return the next offset of each owned partition, also after markers of transactions."""
        if self.consumer is None:
            return {}
        return {
            self._names.from_kafka(place.topic, place.partition): state.position.offset
            for place, state in list(self.consumer._subscription.assignment.items())
            if state.position is not None
        }


def _keep_joining(consumer: Any) -> None:
    """Let a poll continue a join that an earlier poll began.

    kafka-python 3.0 joins again if a topic has changed, until the leader has assigned partitions
    with its present metadata. If a poll ends before that, the client forgets the reason, ignores
    its assignment, and stays out of the group without heartbeats. Java's client remembers that it
    wanted to join (KAFKA-9815).
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()
