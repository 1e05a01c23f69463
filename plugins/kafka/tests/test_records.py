"""One record and its neighbours: what cannot be decoded, what is refused, what holds no record."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from rolehost.api import Record, StorageError, StorageUnavailable, Subscription
from rolehost_kafka.runs import runs, size_of
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

PATIENCE = 20.0


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stream(settings: KafkaSettings) -> Iterator[KafkaStream]:
    made = KafkaStream(msgspec.structs.replace(settings, partitions=1))
    yield made
    made.close()


@pytest.fixture
def admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    made = KafkaAdminClient(bootstrap_servers=list(settings.servers))
    yield made
    made.close()


def join(stream: KafkaStream, *topics: str) -> Subscription:
    none: Callable[[object], None] = lambda _: None  # noqa: E731
    return stream.subscribe(topics or ["topic"], "group", on_assigned=none, on_revoked=none)


def poll_until(member: Subscription, done: Callable[[list[Record]], bool]) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while not done(found):
        assert time.monotonic() < deadline, f"only {len(found)} records"
        found += member.poll(0.2, 100)
    return found


def limited(admin: KafkaAdminClient, settings: KafkaSettings, most: int) -> None:
    """Let the topic take no batch that is larger."""
    topic = f"{settings.prefix}topic"
    limit = {"max.message.bytes": str(most)}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, limit)])


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_names_and_values_of_headers_are_bytes_like_any_other(
    settings: KafkaSettings, stream: KafkaStream
) -> None:
    # So many that the interpreter has specialised the code that reads them.
    stream.publish([Record("topic", b"before", headers=(("ce_id", b"1"),))] * 500)
    for header in (b"na\xffme=v\xff", b"\xfe=", b"ok=\xff"):
        servers, topic = ",".join(settings.servers), f"{settings.prefix}topic"
        command = ["kcat", "-b", servers, "-P", "-t", topic, "-k", b"k\xff", "-H", "ce_id=1"]
        subprocess.run(
            [*command, "-H", header],
            input=b"theirs",
            check=True,
            timeout=PATIENCE,
        )
    stream.publish([Record("topic", b"after")])
    found = poll_until(join(stream), lambda found: len(found) >= 504)[499:]
    assert [(each.value, each.headers[1:]) for each in found] == [
        (b"before", ()),
        (b"theirs", (("na\udcffme", b"v\xff"),)),
        (b"theirs", (("\udcfe", b""),)),
        (b"theirs", (("ok", b"\xff"),)),
        (b"after", ()),
    ]
    assert {each.key for each in found} == {None, b"k\xff"}


def test_what_a_broker_refuses_for_its_size_harms_no_other_and_the_order_holds(
    settings: KafkaSettings, stream: KafkaStream, admin: KafkaAdminClient
) -> None:
    stream.publish([Record("topic", b"first", b"k")])
    limited(admin, settings, 20_000)
    small = [Record("topic", b"%d" % n + b"x" * 900, b"k") for n in range(60)]
    large = [Record("topic", b"x" * each, b"k") for each in (21_000, 500_000)]
    # More in all than a batch may have, too large ones first, last, in between and in a row.
    records = [large[0], *small[:30], *large, *small[30:], large[1]]
    # As a process does that learned the limit before it was lowered, and one that did not.
    for one in (stream, KafkaStream(msgspec.structs.replace(settings, partitions=1))):
        outcomes = one.publish_each(records)
        refused = [record for record, error in zip(records, outcomes, strict=True) if error]
        assert refused == [large[0], *large, large[1]]
        for error in filter(None, outcomes):
            assert "[kafka] max_message" in str(error)
            assert not isinstance(error, StorageUnavailable)
        with pytest.raises(StorageError, match="max_message"):
            one.publish(records[:1])
        one.publish([Record("topic", b"last", b"k")])
        if one is not stream:
            one.close()
    found = poll_until(join(stream), lambda found: len(found) >= 123)
    again = found[-61:-1]
    assert [each.value for each in again] == [each.value for each in small], "the order of the key"


def test_a_record_that_no_broker_takes_is_refused_alone(stream: KafkaStream) -> None:
    bad = Record("topic", b"", headers=(("\udcff", b""),))
    assert [type(each) for each in stream.publish_each([Record("topic", b"a"), bad])] == [
        type(None),
        StorageError,
    ]
    (error,) = stream.publish_each([Record("no/topic", b"")])
    assert error is not None
    stream.publish([Record("topic", b"b")])
    found = poll_until(join(stream), lambda found: len(found) >= 2)
    assert [each.value for each in found] == [b"a", b"b"]


def test_a_topic_that_was_deleted_is_made_again(
    settings: KafkaSettings, admin: KafkaAdminClient
) -> None:
    # A longer time limit than below, because the first record creates the topic.
    first = KafkaStream(settings)
    first.publish([Record("topic", b"old")])
    first.close()
    stream = KafkaStream(msgspec.structs.replace(settings, publish_timeout=1.0))
    topic = f"{settings.prefix}topic"
    admin.delete_topics([topic])
    deadline = time.monotonic() + PATIENCE
    # The answer comes before the brokers have dropped the topic; until then it takes records.
    while topic in admin.list_topics():
        assert time.monotonic() < deadline
    while (error := stream.publish_each([Record("topic", b"new")])[0]) is not None:
        assert isinstance(error, StorageUnavailable)
        assert time.monotonic() < deadline
    (record,) = poll_until(join(stream), bool)
    assert record.value == b"new"
    stream.close()


def test_lag_is_0_when_everything_readable_was_read(
    settings: KafkaSettings, stream: KafkaStream
) -> None:
    topic = f"{settings.prefix}topic"
    stream.publish([Record("topic", b"plain")])
    producer = KafkaProducer(
        bootstrap_servers=list(settings.servers), transactional_id=f"{settings.prefix}t"
    )
    producer.init_transactions()
    for value in (b"committed", b"aborted"):
        producer.begin_transaction()
        producer.send(topic, value).get(PATIENCE)
        if value == b"aborted":
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    member = join(stream)
    poll_until(member, lambda found: len(found) == 2 and bool(member.positions()))
    (partition,) = member.positions()
    poll_until(member, lambda _: member.positions().get(partition) == 5)
    assert stream.lag(["topic"], "group") == 5
    member.commit(member.positions())
    assert stream.lag(["topic"], "group") == 0
    # What is not committed by its producer cannot be read.
    producer.begin_transaction()
    producer.send(topic, b"open").get(PATIENCE)
    assert stream.lag(["topic"], "group") == 0
    producer.commit_transaction()
    (record,) = poll_until(member, bool)
    assert record.value == b"open"
    assert member.positions().get(partition, 0) in (0, 6, 7)
    member.close()
    producer.close()


def test_records_are_divided_where_brokers_would_refuse_their_batch() -> None:
    records = [Record("t", b"x" * each) for each in (10, 900, 10, 10, 400, 400)]
    assert list(runs(records, lambda _: 600, 10_000)) == [[0], [1], [2, 3, 4], [5]]
    assert list(runs(records, lambda _: 600, 500)) == [[0], [1], [2, 3, 4, 5]]
    assert list(runs(records, lambda _: 10_000, 65_536)) == [[0, 1, 2, 3, 4, 5]]
    assert size_of(Record("t", b"x", b"k", (("ü", b"v"),))) >= 1 + 1 + 2 + 1
