"""One member of a consumer group: the part of the caller's thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata
from rolehost.api import Partition, Record, Subscription

from rolehost_kafka.kafka_python.failures import DRIVER_ERRORS, unavailable
from rolehost_kafka.kafka_python.mailbox import Callback, Mailbox, RebalanceListener
from rolehost_kafka.kafka_python.reader import Reader
from rolehost_kafka.names import Names
from rolehost_kafka.settings import milliseconds

#: Seconds that :meth:`KafkaPythonSubscription.close` waits until the member has left.
CLOSE_TIMEOUT = 10.0


class KafkaPythonSubscription(Subscription):
    """Joins the group at the first poll.

    A separate thread polls the consumer, only on demand. kafka-python cannot be interrupted, and
    it completes a rebalance inside its poll, where no callback can commit.

    Args:
        names: adds the prefix to names, and removes it.
        connect: returns a consumer that is subscribed with a listener.
        check: returns, after some silence, whether to join again; raises if brokers are missing.
        request_timeout: seconds for a commit.
        join_timeout: seconds after which joining the group starts again.
        on_assigned: called with new partitions.
        on_revoked: called with partitions before the member gives them up, or after it lost them.
    """

    def __init__(
        self,
        names: Names,
        *,
        connect: Callable[[RebalanceListener], Any],
        check: Callable[[], bool],
        request_timeout: float,
        join_timeout: float,
        on_assigned: Callable[[Collection[Partition]], None],
        on_revoked: Callable[[Collection[Partition]], None],
    ) -> None:
        self._names = names
        self._request_timeout = request_timeout
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._mailbox = Mailbox()
        bridge = RebalanceListener(self._mailbox, names)
        self._reader = Reader(
            self._mailbox,
            names,
            connect=lambda: connect(bridge),
            check=check,
            join_timeout=join_timeout,
        )
        self._owned: set[Partition] = set()
        #: Offsets that could not be committed while the group was rebalancing.
        self._uncommitted: dict[Partition, int] = {}
        self._closing = threading.Lock()
        self._closed = False

    def poll(self, timeout: float, limit: int) -> list[Record]:
        """See :meth:`rolehost.api.Subscription.poll`."""
        mailbox = self._mailbox
        deadline = time.monotonic() + timeout
        if self._closed:
            return []
        if self._uncommitted:
            self.commit({})
        if not self._reader.ident:
            self._reader.start()
        with mailbox.changed:
            mailbox.wanted = mailbox.wanted or limit
            mailbox.changed.notify_all()
        while True:
            with mailbox.changed:
                left = deadline - time.monotonic()
                if mailbox.calls:
                    call = mailbox.calls.popleft()
                else:
                    failure, mailbox.failure = mailbox.failure, None
                    if failure is not None:
                        raise failure
                    batch = mailbox.take(limit)
                    if batch or left <= 0 or mailbox.interrupted or mailbox.closing:
                        mailbox.interrupted = False
                        return batch
                    if mailbox.idle:
                        mailbox.wanted = limit
                    mailbox.changed.notify_all()
                    mailbox.changed.wait(left)
                    continue
            self._run_callback(call)

    def _run_callback(self, call: Callback) -> None:
        """Run a callback. The rebalance continues when it ends, even if it raises."""
        try:
            if call.kind == "assigned":
                with self._mailbox.changed:
                    self._mailbox.forget_positions(call.partitions)
                self._owned.update(call.partitions)
                self._on_assigned(call.partitions)
            else:
                self._remove_partitions(call)
        finally:
            call.answer.success(None)
            # Wakes kafka-python's thread, which does not notice answers from other threads.
            with contextlib.suppress(*DRIVER_ERRORS):
                if (consumer := self._reader.consumer) is not None:
                    consumer.commit({})

    def _remove_partitions(self, call: Callback) -> None:
        gone = set(call.partitions) & self._owned
        if call.kind == "lost":
            # Other members own these partitions already, so the callback must not commit them.
            self._owned -= gone
        try:
            if gone:
                self._on_revoked(sorted(gone))
            if self._uncommitted and call.kind == "revoked":
                self.commit({})
        finally:
            self._owned -= gone
            for partition in gone:
                self._uncommitted.pop(partition, None)
            with self._mailbox.changed:
                self._mailbox.drop(gone)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See :meth:`rolehost.api.Subscription.commit`.

        While the group is rebalancing Kafka takes no commits; the offsets are kept and
        committed with the next ones or at the next poll, as long as the partition is owned.
        """
        wanted = {**self._uncommitted, **offsets}
        wanted = {partition: wanted[partition] for partition in wanted.keys() & self._owned}
        consumer = self._reader.consumer
        self._uncommitted = wanted
        if not wanted or consumer is None:
            return
        try:
            consumer.commit(
                {
                    TopicPartition(
                        self._names.to_kafka(partition.topic), partition.number
                    ): OffsetAndMetadata(offset)
                    for partition, offset in wanted.items()
                },
                timeout_ms=milliseconds(self._request_timeout),
            )
        except (
            RebalanceInProgressError,
            CommitFailedError,
            IllegalGenerationError,
            UnknownMemberIdError,
        ):
            return
        except DRIVER_ERRORS as error:
            raise unavailable("committing", error) from error
        self._uncommitted = {}

    def positions(self) -> Mapping[Partition, int]:
        """See :meth:`rolehost.api.Subscription.positions`."""
        mailbox = self._mailbox
        with mailbox.changed:
            waiting = {record.partition for record in mailbox.records}
            return {
                partition: offset
                for partition, offset in mailbox.positions.items()
                if partition in self._owned and partition not in waiting
            }

    def pause(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.pause`."""
        with self._mailbox.changed:
            self._mailbox.paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.resume`."""
        with self._mailbox.changed:
            self._mailbox.paused.difference_update(partitions)

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Subscription.interrupt`."""
        with self._mailbox.changed:
            self._mailbox.interrupted = True
            self._mailbox.changed.notify_all()

    def close(self) -> None:
        """See :meth:`rolehost.api.Subscription.close`; first revokes the owned partitions."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        mailbox = self._mailbox
        with mailbox.changed:
            mailbox.closing = True
            mailbox.changed.notify_all()
        if not self._reader.ident:
            return
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while True:
            with mailbox.changed:
                mailbox.changed.wait_for(
                    lambda: mailbox.calls or mailbox.ended, max(0.0, deadline - time.monotonic())
                )
                if not mailbox.calls:
                    break
                call = mailbox.calls.popleft()
            with contextlib.suppress(Exception):
                self._run_callback(call)
        self._owned.clear()
        self._reader.join(max(0.0, deadline - time.monotonic()))
