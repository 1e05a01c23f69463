"""The conformance suite of ``stream`` backends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from typing import Any

import pytest
from rolehost.storage import CAPABILITIES, Partition, Record, Stream, Subscription

from rolehost_testing.conformance.clients import (
    PATIENCE,
    BackendSuite,
    in_threads,
    need,
    process,
)

_TOPIC = "conformance"
_STEP = 0.05


class Reader:
    """A subscription, with the records and callbacks that it received."""

    def __init__(self, stream: Stream, group: str = "group", topics: Collection[str] = (_TOPIC,)):
        self.got: list[Record] = []
        self.owned: set[Partition] = set()
        self.calls: list[tuple[str, frozenset[Partition]]] = []
        self.commit_when_revoked = False
        self.subscription: Subscription = stream.subscribe(
            topics, group, on_assigned=self._assigned, on_revoked=self._revoked
        )

    def _assigned(self, partitions: Collection[Partition]) -> None:
        self.calls.append(("assigned", frozenset(partitions)))
        self.owned |= set(partitions)

    def _revoked(self, partitions: Collection[Partition]) -> None:
        self.calls.append(("revoked", frozenset(partitions)))
        if self.commit_when_revoked:
            self.commit()
        self.owned -= set(partitions)

    def step(self, limit: int = 100) -> list[Record]:
        """Poll once, with a short timeout."""
        batch = self.subscription.poll(_STEP, limit)
        self.got.extend(batch)
        return batch

    def until(self, done: Callable[[], bool], *others: Reader) -> None:
        """Poll, in turn with other readers, until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"not so: {self.calls}, {len(self.got)} records"
            for reader in (self, *others):
                reader.step()

    def read(self, count: int) -> list[Record]:
        """Poll until ``count`` records arrived in total."""
        self.until(lambda: len(self.got) >= count)
        return self.got

    def values(self) -> list[bytes]:
        """The values of the received records, in order."""
        return [record.value for record in self.got]

    def commit(self) -> None:
        """Commit all received records."""
        ends: dict[Partition, int] = {}
        for record in self.got:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        self.subscription.commit(ends)


def _records(count: int, *, keys: int = 10, start: int = 0) -> list[Record]:
    return [
        Record(topic=_TOPIC, value=b"%d" % number, key=b"key-%d" % (number % keys))
        for number in range(start, start + count)
    ]


class StreamConformance(BackendSuite[Stream]):
    """Subclass it and override ``make_backend``; topics need more than one partition."""

    def test_declares_known_capabilities(self, backend: Stream) -> None:
        assert backend.capabilities <= set(CAPABILITIES["stream"])

    @pytest.mark.parametrize(
        "record",
        [
            Record(topic=_TOPIC, value=b""),
            Record(topic=_TOPIC, value=bytes(range(256)), key=b"\x00\xff"),
            Record(topic=_TOPIC, value="ü🐍".encode(), key="ключ".encode()),
            Record(topic=_TOPIC, value=b"v", headers=(("a", b"1"), ("b", b""), ("a", b"\xff"))),
            Record(topic=_TOPIC, value=b"x" * 500_000, key=b"large"),
        ],
        ids=["empty", "binary", "unicode", "headers", "large"],
    )
    def test_a_record_comes_back_as_it_went_in(self, backend: Stream, record: Record) -> None:
        before = time.time_ns() // 1_000_000
        backend.publish([record])
        (found,) = Reader(backend).read(1)
        assert found == record.read_at(found.partition, found.offset, found.timestamp)
        assert found.partition.topic == _TOPIC
        assert before - 1000 <= found.timestamp <= time.time_ns() // 1_000_000 + 1000

    def test_publishing_nothing_is_fine(self, backend: Stream) -> None:
        backend.publish([])

    def test_records_published_before_the_group_are_read(self, backend: Stream) -> None:
        backend.publish(_records(20))
        assert sorted(Reader(backend).read(20), key=_number) == sorted(
            Reader(backend, group="another").read(20), key=_number
        )

    def test_records_of_one_key_keep_their_order_and_partition(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "ordered-by-key")
        other = open_client()
        for number in range(30):
            (backend if number % 2 else other).publish(_records(1, start=number, keys=3))
        reader = Reader(backend)
        reader.read(30)
        for key in (b"key-0", b"key-1", b"key-2"):
            mine = [record for record in reader.got if record.key == key]
            assert [_number(record) for record in mine] == sorted(map(_number, mine))
            assert len({record.partition for record in mine}) == 1
            assert [d.offset for d in mine] == sorted({d.offset for d in mine})

    def test_records_without_a_key_spread(self, backend: Stream) -> None:
        for number in range(200):
            backend.publish([Record(topic=_TOPIC, value=b"%d" % number)])
        records = Reader(backend).read(200)
        assert len({record.partition for record in records}) > 1

    def test_threads_that_publish_lose_and_mix_up_nothing(self, backend: Stream) -> None:
        def work(number: int) -> None:
            for value in range(20):
                backend.publish([Record(topic=_TOPIC, value=b"%d" % value, key=b"%d" % number)])

        reader = Reader(backend)
        in_threads(4, work)
        reader.read(80)
        for number in range(4):
            mine = [_number(d) for d in reader.got if d.key == b"%d" % number]
            assert mine == list(range(20))

    def test_poll_returns_at_most_limit_records(self, backend: Stream) -> None:
        backend.publish(_records(30))
        reader = Reader(backend)
        while len(reader.got) < 30:
            assert len(reader.step(limit=7)) <= 7
        assert sorted(map(_number, reader.got)) == list(range(30))

    def test_a_committed_group_goes_on_where_it_was(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        backend.publish(_records(20))
        first = Reader(backend)
        first.read(20)
        first.commit()
        first.subscription.close()
        backend.publish(_records(5, start=20))
        second = Reader(open_client())
        second.read(5)
        assert sorted(map(_number, second.got)) == list(range(20, 25))

    def test_uncommitted_records_are_delivered_again(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        backend.publish(_records(20))
        first = Reader(backend)
        first.read(20)
        first.subscription.close()
        second = Reader(open_client())
        assert sorted(map(_number, second.read(20))) == list(range(20))

    def test_lag_counts_uncommitted_records(self, backend: Stream) -> None:
        backend.publish(_records(20))
        assert backend.lag([_TOPIC], "group") == 20
        reader = Reader(backend)
        reader.read(20)
        assert backend.lag([_TOPIC], "group") == 20
        reader.commit()
        assert backend.lag([_TOPIC], "group") == 0
        backend.publish(_records(3))
        assert backend.lag([_TOPIC], "group") == 3

    def test_one_subscription_reads_several_topics(self, backend: Stream) -> None:
        topics = ["conformance-a", "conformance-b"]
        reader = Reader(backend, topics=topics)
        backend.publish([Record(topic=topic, value=topic.encode()) for topic in topics])
        reader.read(2)
        assert sorted(reader.values()) == [topic.encode() for topic in topics]

    def test_every_group_reads_every_record(self, backend: Stream) -> None:
        need(backend, "consumer-groups")
        readers = [Reader(backend, group=f"group-{number}") for number in range(3)]
        backend.publish(_records(10))
        for reader in readers:
            assert sorted(map(_number, reader.read(10))) == list(range(10))

    def test_members_share_the_partitions(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups")
        one, two = Reader(backend), Reader(open_client())
        one.until(lambda: bool(one.owned and two.owned and not one.owned & two.owned), two)
        backend.publish(_records(100, keys=100))
        one.until(lambda: len(one.got) + len(two.got) >= 100, two)
        assert sorted(map(_number, one.got + two.got)) == list(range(100))
        assert one.got
        assert two.got

    def test_a_partition_is_revoked_before_it_is_assigned_to_another(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups")
        one = Reader(backend)
        one.until(lambda: bool(one.owned))
        everything = frozenset(one.owned)
        two = Reader(open_client())
        one.until(lambda: bool(two.owned) and one.owned | two.owned == everything, two)
        assert not one.owned & two.owned
        given_up = frozenset().union(*(places for kind, places in one.calls if kind == "revoked"))
        assert two.owned <= given_up

    def test_a_commit_while_being_revoked_counts(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups")
        one = Reader(backend)
        one.commit_when_revoked = True
        backend.publish(_records(50, keys=50))
        one.read(50)
        two = Reader(open_client())
        one.until(lambda: bool(two.owned), two)
        backend.publish(_records(50, keys=50, start=50))
        one.until(lambda: len(one.got) + len(two.got) >= 100, two)
        assert sorted(map(_number, one.got + two.got)) == list(range(100))

    def test_a_member_that_leaves_is_replaced(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups")
        one, two = Reader(backend), Reader(open_client())
        one.until(lambda: bool(one.owned and two.owned), two)
        everything = one.owned | two.owned
        one.subscription.close()
        two.until(lambda: two.owned == everything)

    def test_a_killed_member_is_replaced_and_its_records_are_delivered_again(
        self, backend: Stream, make_backend: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups", "persistent")
        backend.publish(_records(20))
        with process(_read_and_hold, make_backend) as child:
            assert child.receive() == 20
            child.kill()
        assert sorted(map(_number, Reader(backend).read(20))) == list(range(20))

    def test_a_commit_of_lost_partitions_changes_nothing(
        self, backend: Stream, open_client: Callable[[], Stream]
    ) -> None:
        need(backend, "consumer-groups")
        backend.publish(_records(20))
        one = Reader(backend)
        one.read(20)
        one.subscription.close()
        two = Reader(open_client())
        two.read(20)
        one.commit()
        two.subscription.close()
        assert backend.lag([_TOPIC], "group") == 20

    def test_paused_partitions_are_silent_until_resumed(self, backend: Stream) -> None:
        reader = Reader(backend)
        reader.until(lambda: bool(reader.owned))
        reader.subscription.pause(reader.owned)
        backend.publish(_records(10))
        assert [reader.step() for _ in range(4)] == [[]] * 4
        reader.subscription.resume(reader.owned)
        assert sorted(map(_number, reader.read(10))) == list(range(10))

    def test_interrupt_ends_a_poll(self, backend: Stream) -> None:
        reader = Reader(backend)
        reader.until(lambda: bool(reader.owned))
        reader.subscription.interrupt()
        assert reader.subscription.poll(PATIENCE, 1) == []
        bell = threading.Timer(_STEP, reader.subscription.interrupt)
        bell.start()
        assert reader.subscription.poll(PATIENCE, 1) == []
        bell.join()

    def test_a_record_from_another_process_ends_a_poll(
        self, backend: Stream, make_backend: Callable[[], Stream]
    ) -> None:
        reader = Reader(backend)
        reader.until(lambda: bool(reader.owned))
        with process(_publish, make_backend) as child:
            assert [d.value for d in reader.subscription.poll(PATIENCE, 10)] == [b"afar"]
            child.finish()

    def test_trim_keeps_recent_records(self, backend: Stream) -> None:
        need(backend, "retention")
        backend.publish(_records(10))
        assert backend.trim() >= 0
        assert len(Reader(backend).read(10)) == 10

    def test_it_answers_and_closes_twice(self, open_client: Callable[[], Stream]) -> None:
        stream = open_client()
        stream.ping()
        reader = Reader(stream)
        reader.step()
        reader.subscription.close()
        reader.subscription.close()
        stream.close()
        stream.close()


def _number(record: Record) -> int:
    return int(record.value)


def _read_and_hold(channel: Connection, make_backend: Callable[[], Stream]) -> None:
    reader = Reader(make_backend())
    channel.send(len(reader.read(20)))
    channel.poll(PATIENCE)


def _publish(channel: Connection, make_backend: Callable[[], Any]) -> None:
    stream = make_backend()
    stream.publish([Record(topic=_TOPIC, value=b"afar")])
    stream.close()
    channel.close()
