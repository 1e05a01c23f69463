"""One member of a consumer group, polled by the caller's thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from rolehost.api import Partition, Record, Subscription

from rolehost_kafka import failures
from rolehost_kafka.client import PartitionCallback
from rolehost_kafka.confluent import options
from rolehost_kafka.confluent.failures import LastError, refused_setting
from rolehost_kafka.kafka_python.lenient import HeaderReader
from rolehost_kafka.names import Names
from rolehost_kafka.settings import KafkaSettings

#: Seconds of one wait. librdkafka cannot be interrupted, so this is the delay of an interrupt.
_POLL_STEP = 0.1
#: Seconds without a record after which the brokers are checked.
_CHECK_AFTER = 5.0
#: Seconds that leaving the group may take.
_LEAVE_TIMEOUT = 10.0

#: Errors of a commit after which the offsets stay uncommitted until the next commit.
_COMMIT_REFUSED = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._STATE,
}

#: Calls ``Message.headers()`` so that an error that it leaves set is always raised: a call that
#: CPython has specialised does not check for it.
_headers = methodcaller("headers")


class _Committing(threading.Thread):
    """One commit. While brokers are away, librdkafka waits without a time-out.

    Args:
        consumer: the consumer.
        offsets: the offsets to commit.
        places: the same in the types of the consumer.
    """

    def __init__(
        self, consumer: Any, offsets: Mapping[Partition, int], places: list[TopicPartition]
    ) -> None:
        super().__init__(name="kafka-commit", daemon=True)
        self._consumer = consumer
        self._places = places
        self.offsets = offsets
        #: The error, if it failed.
        self.error: KafkaError | None = None

    def run(self) -> None:
        """Commit, and wait for the answer."""
        try:
            self._consumer.commit(offsets=self._places, asynchronous=False)
        except KafkaException as error:
            self.error = error.args[0]
        except RuntimeError:
            # The consumer was closed in the meantime.
            self.error = KafkaError(KafkaError._STATE)


class ConfluentSubscription(Subscription):
    """Joins the group at the first poll. librdkafka calls back in the polling thread.

    Args:
        settings: the plugin's settings.
        names: adds the prefix to names, and removes it.
        topics: topics to read.
        group: the group to join.
        ready: called before a consumer is made; raises if brokers or topics are missing.
        check: returns whether to join again; raises if brokers or topics are missing, because a
            consumer does not report that.
        on_assigned: called with new partitions.
        on_revoked: called with partitions before the member gives them up, or after it lost them.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        names: Names,
        topics: Sequence[str],
        group: str,
        *,
        ready: Callable[[], None],
        check: Callable[[], bool],
        on_assigned: PartitionCallback,
        on_revoked: PartitionCallback,
    ) -> None:
        self._settings = settings
        self._names = names
        self._topics = topics
        self._group = group
        self._ready = ready
        self._check = check
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._last_error = LastError()
        self._reader = HeaderReader(settings)
        self._consumer: Any = None
        self._owned: set[Partition] = set()
        self._paused: set[Partition] = set()
        #: Paused in the consumer too, because a record came while the partition was paused here.
        self._paused_in_consumer: set[Partition] = set()
        #: End offsets of partitions, each until the next record of the partition.
        self._end_offsets: dict[Partition, int] = {}
        #: Records that came while their partition was paused, or beyond the limit.
        self._held: deque[Record] = deque()
        #: Offsets that could not be committed while the group was rebalancing.
        self._uncommitted: dict[Partition, int] = {}
        self._committing: _Committing | None = None
        #: Whether librdkafka is calling back now.
        self._calling = False
        self._failure: Exception | None = None
        self._last_message_at = 0.0
        self._interrupted = threading.Event()
        self._closing = threading.Lock()
        self._closed = False

    def poll(self, timeout: float, limit: int) -> list[Record]:
        """See :meth:`rolehost.api.Subscription.poll`."""
        deadline = time.monotonic() + timeout
        if self._closed:
            return []
        if self._consumer is None:
            self._connect()
        if self._uncommitted:
            self.commit({})
        while True:
            left = deadline - time.monotonic()
            # Poll even if enough records are held, because rebalances happen in a poll.
            self._fetch(0.0 if self._held else max(0.0, min(left, _POLL_STEP)), limit)
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            batch = self._take(limit)
            if batch or left <= 0 or self._interrupted.is_set() or self._closed:
                self._interrupted.clear()
                return batch

    def _connect(self) -> None:
        self._ready()
        try:
            consumer = Consumer(
                options.consumer(
                    self._settings, self._names.to_kafka(self._group), self._last_error.report
                )
            )
        except KafkaException as error:
            raise refused_setting(self._settings, error) from error
        consumer.subscribe(
            [self._names.to_kafka(topic) for topic in self._topics],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )
        self._last_message_at = time.monotonic()
        self._consumer = consumer

    def _fetch(self, wait: float, limit: int) -> None:
        """Fetch records, at most ``limit`` with the held ones; rebalances call back from here."""
        consumer = self._consumer
        try:
            # consume() waits until as many records as asked for have come. So poll() waits for
            # the first record, and consume() takes only the records that are there.
            first = consumer.poll(wait)
            if first is None:
                return self._watch()
            room = limit - len(self._held) - 1
            messages = [first, *(consumer.consume(room, 0.0) if room > 0 else ())]
        except KafkaException as error:
            self._failure = self._last_error.translate(self._settings, "polling", error.args[0])
            return None
        self._last_message_at = time.monotonic()
        for message in messages:
            error = message.error()
            if error is None:
                self._hold(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                partition = self._names.from_kafka(message.topic(), message.partition())
                if partition in self._owned:
                    self._end_offsets[partition] = message.offset()
            elif error.fatal():
                self._failure = failures.temporary("polling", error.str())
                self._replace()
                break
            elif error.code() != KafkaError._MAX_POLL_EXCEEDED:
                self._failure = self._last_error.translate(self._settings, "polling", error)
        return None

    def _watch(self) -> None:
        """Check brokers and topics if no record has come for some time."""
        now = time.monotonic()
        if now - self._last_message_at > _CHECK_AFTER:
            self._last_message_at = now
            try:
                if self._check():
                    self._failure = failures.temporary("polling", "topics were created again")
                    self._replace()
            except Exception as error:
                self._failure = error

    def _hold(self, message: Any) -> None:
        partition = self._names.from_kafka(message.topic(), message.partition())
        if partition not in self._owned:
            return
        if partition in self._paused and partition not in self._paused_in_consumer:
            self._paused_in_consumer.add(partition)
            self._consumer.pause(self._to_kafka([partition]))
        self._end_offsets.pop(partition, None)
        # Other producers may write records without a value.
        headers = self._headers(message)
        self._held.append(
            Record(
                partition.topic,
                message.value() or b"",
                message.key(),
                headers,
                partition,
                message.offset(),
                message.timestamp()[1],
            )
        )

    def _headers(self, message: Any) -> tuple[tuple[str, bytes], ...]:
        """Return a record's headers; null values are empty."""
        try:
            headers = tuple(_headers(message) or ())
        except SystemError:
            # A name is not UTF-8. Then confluent-kafka 2.16 returns a list with invalid items;
            # reading one crashes the process.
            place = message.topic(), message.partition()
            return self._reader.headers(place, message.offset())
        for _, value in headers:
            if value is None:
                return tuple((name, value or b"") for name, value in headers)
        return headers

    def _take(self, limit: int) -> list[Record]:
        held = self._held
        if not self._paused:
            if len(held) <= limit:
                self._held = deque()
                return list(held)
            return [held.popleft() for _ in range(limit)]
        taken: list[Record] = []
        rest: deque[Record] = deque()
        for record in held:
            free = len(taken) < limit and record.partition not in self._paused
            (taken if free else rest).append(record)
        self._held = rest
        return taken

    def _assigned(self, _: Any, places: Collection[TopicPartition]) -> None:
        partitions = self._from_kafka(places)
        self._owned.update(partitions)
        self._call_back(self._on_assigned, partitions)

    def _revoked(self, _: Any, places: Collection[TopicPartition]) -> None:
        gone = [each for each in self._from_kafka(places) if each in self._owned]
        self._call_back(self._on_revoked, gone)
        self._remove_partitions(gone)

    def _lost(self, _: Any, places: Collection[TopicPartition]) -> None:
        gone = [each for each in self._from_kafka(places) if each in self._owned]
        # Other members own these partitions already, so the callback must not commit them.
        self._owned.difference_update(gone)
        self._call_back(self._on_revoked, gone)
        self._remove_partitions(gone)

    def _call_back(self, callback: PartitionCallback, partitions: Sequence[Partition]) -> None:
        """Run a callback; the next poll raises its exception, so that no fetched record is lost."""
        if partitions and not self._closed:
            self._calling = True
            try:
                callback(partitions)
                if self._uncommitted and callback == self._on_revoked:
                    self.commit({})
            except Exception as error:
                self._failure = error
            finally:
                self._calling = False

    def _remove_partitions(self, gone: Collection[Partition]) -> None:
        self._owned.difference_update(gone)
        self._paused.difference_update(gone)
        self._paused_in_consumer.difference_update(gone)
        for partition in gone:
            self._uncommitted.pop(partition, None)
            self._end_offsets.pop(partition, None)
        self._held = deque(each for each in self._held if each.partition not in gone)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See :meth:`rolehost.api.Subscription.commit`.

        While the group is rebalancing Kafka takes no commits; the offsets are kept and
        committed with the next ones or at the next poll, as long as the partition is owned.
        """
        wanted = {**self._uncommitted, **offsets}
        wanted = {partition: wanted[partition] for partition in wanted.keys() & self._owned}
        self._uncommitted = wanted
        if not wanted or self._consumer is None:
            return
        committing = self._committing
        if committing is None:
            committing = self._committing = _Committing(
                self._consumer,
                wanted,
                [
                    TopicPartition(self._names.to_kafka(partition.topic), partition.number, offset)
                    for partition, offset in wanted.items()
                ],
            )
            if self._calling:
                # librdkafka answers no other thread before its callback returns.
                committing.run()
            else:
                committing.start()
        if committing.ident is not None:
            committing.join(self._settings.request_timeout)
        if committing.is_alive():
            raise failures.temporary("committing", "no answer in time")
        self._committing = None
        if committing.error is None:
            # The result may belong to an earlier call, which took too long.
            if committing.offsets == wanted:
                self._uncommitted = {}
        elif committing.error.code() not in _COMMIT_REFUSED:
            raise self._last_error.translate(self._settings, "committing", committing.error)

    def positions(self) -> Mapping[Partition, int]:
        """See :meth:`rolehost.api.Subscription.positions`."""
        waiting = {record.partition for record in self._held}
        return {place: end for place, end in self._end_offsets.items() if place not in waiting}

    def pause(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.pause`.

        When librdkafka pauses a partition, it drops the prefetched records. So it pauses the
        partition only when a record of the partition comes.
        """
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See :meth:`rolehost.api.Subscription.resume`."""
        self._paused.difference_update(partitions)
        again = self._paused_in_consumer & set(partitions)
        self._paused_in_consumer -= again
        if again:
            with contextlib.suppress(KafkaException):
                self._consumer.resume(self._to_kafka(again))

    def interrupt(self) -> None:
        """See :meth:`rolehost.api.Subscription.interrupt`."""
        self._interrupted.set()

    def close(self) -> None:
        """See :meth:`rolehost.api.Subscription.close`; first revokes the owned partitions."""
        with self._closing:
            if self._closed:
                return
            owned = sorted(self._owned)
            if owned:
                with contextlib.suppress(Exception):
                    self._on_revoked(owned)
                with contextlib.suppress(Exception):
                    self.commit({})
            self._closed = True
            self._remove_partitions(owned)
            self._replace()

    def _replace(self) -> None:
        """Close this consumer; the next poll makes another one."""
        consumer, self._consumer = self._consumer, None
        self._committing = None
        if consumer is None:
            return
        # Closing runs in a thread, because it waits without a time-out for brokers that are away.
        leaving = threading.Thread(target=consumer.close, name="kafka-leaving", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_TIMEOUT)

    def _to_kafka(self, partitions: Collection[Partition]) -> list[TopicPartition]:
        return [
            TopicPartition(self._names.to_kafka(each.topic), each.number) for each in partitions
        ]

    def _from_kafka(self, places: Collection[TopicPartition]) -> list[Partition]:
        return sorted(self._names.from_kafka(each.topic, each.partition) for each in places)
