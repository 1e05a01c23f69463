from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from rolehost.api import (
    Partition,
    Record,
    StorageError,
    StorageUnavailable,
    Stream,
    Subscription,
)
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream

PATIENCE = 20.0


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stream(settings: KafkaSettings) -> Iterator[KafkaStream]:
    made = KafkaStream(settings)
    yield made
    made.close()


def join(stream: Stream, group: str = "group", on_revoked=lambda _: None) -> Subscription:
    return stream.subscribe(["topic"], group, on_assigned=lambda _: None, on_revoked=on_revoked)


def read(member: Subscription, count: int) -> list:
    found: list = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records"
        found += member.poll(0.2, 100)
    return found


def test_topics_are_made_as_the_settings_say(settings: KafkaSettings, stream: Stream) -> None:
    stream.publish([Record("topic", b"")])
    admin = KafkaAdminClient(bootstrap_servers=list(settings.servers))
    (found,) = admin.describe_topics([f"{settings.prefix}topic"])
    admin.close()
    assert len(found["partitions"]) == settings.partitions


def test_a_topic_that_is_missing_is_refused_when_topics_are_verified(
    settings: KafkaSettings,
) -> None:
    strict = KafkaStream(msgspec.structs.replace(settings, topics="verify"))
    with pytest.raises(StorageUnavailable, match=rf"missing: {settings.prefix}topic.*\[kafka\]"):
        strict.publish([Record("topic", b"")])
    with pytest.raises(StorageUnavailable, match=rf"missing: {settings.prefix}topic.*\[kafka\]"):
        join(strict).poll(PATIENCE, 1)
    strict.close()


def test_the_lag_of_a_topic_that_is_missing_is_nothing(stream: Stream) -> None:
    assert stream.lag(["topic"], "group") == 0


def test_a_record_that_is_too_large_is_not_worth_another_try(stream: Stream) -> None:
    with pytest.raises(StorageError, match=r"\[kafka\] max_message") as caught:
        stream.publish([Record("topic", b"x" * 2_000_000)])
    assert not isinstance(caught.value, StorageUnavailable)
    stream.publish([Record("topic", b"small")])


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_what_is_compressed_is_read_back(settings: KafkaSettings, compression: str) -> None:
    stream = KafkaStream(msgspec.structs.replace(settings, compression=compression))
    stream.publish([Record("topic", b"abc" * 1000)])
    (record,) = read(join(stream), 1)
    assert record.value == b"abc" * 1000
    stream.close()


def test_both_clients_choose_the_same_partition_for_a_key(
    settings: KafkaSettings, stream: Stream
) -> None:
    stream.publish([Record("topic", b"", key=b"key-%d" % n) for n in range(40)])
    here = {d.key: d.partition for d in read(join(stream), 40)}
    other = KafkaProducer(bootstrap_servers=list(settings.servers))
    theirs = {
        key: other.send(f"{settings.prefix}topic", b"", key=key).get(PATIENCE).partition
        for key in here
    }
    other.close()
    assert {key: place.number for key, place in here.items()} == theirs


def test_bytes_that_no_decoder_takes_are_handed_over_and_stop_nobody(stream: Stream) -> None:
    poison = Record("topic", b"\xff\xfe{", key=b"k", headers=(("ce_id", b"\xff"),))
    stream.publish([poison, Record("topic", b"{}", key=b"k")])
    assert [d.value for d in read(join(stream), 2)] == [b"\xff\xfe{", b"{}"]


def test_records_without_a_value_of_other_producers_are_empty(
    settings: KafkaSettings, stream: Stream
) -> None:
    stream.publish([Record("topic", b"first")])
    other = KafkaProducer(bootstrap_servers=list(settings.servers))
    other.send(f"{settings.prefix}topic", key=b"k", value=None).get(PATIENCE)
    other.close()
    assert sorted(d.value for d in read(join(stream), 2)) == [b"", b"first"]


def test_only_what_is_finished_is_committed_however_much_was_returned(stream: Stream) -> None:
    stream.publish([Record("topic", b"%d" % n, key=b"k") for n in range(10)])
    member = join(stream)
    records = read(member, 10)
    member.commit({records[0].partition: records[3].offset + 1})
    member.poll(0.1, 10)
    member.close()
    assert stream.lag(["topic"], "group") == 6
    again = join(stream)
    assert [d.value for d in read(again, 6)] == [b"%d" % n for n in range(4, 10)]


def test_a_slow_callback_of_a_rebalance_runs_in_the_polling_thread_and_may_commit(
    settings: KafkaSettings, stream: Stream
) -> None:
    stream.publish([Record("topic", b"%d" % n, key=b"%d" % n) for n in range(40)])
    seen: dict[Partition, int] = {}
    threads: set[str] = set()
    slow = threading.Event()

    def revoked(partitions: Collection[Partition]) -> None:
        threads.add(threading.current_thread().name)
        # Longer than a session: heartbeats go on meanwhile, so nothing is lost.
        slow.wait(settings.session_timeout + 1)
        one.commit({place: seen[place] for place in partitions if place in seen})

    one = join(stream, on_revoked=revoked)
    first = read(one, 40)
    for record in first:
        seen[record.partition] = record.offset + 1
    other = KafkaStream(settings)
    two = join(other)
    mine: set[Partition] = set()
    deadline = time.monotonic() + 2 * PATIENCE
    while not threads:
        assert time.monotonic() < deadline
        two.poll(0.1, 100)
        assert one.poll(0.1, 100) == []
    stream.publish([Record("topic", b"new", key=b"%d" % n) for n in range(40)])
    values: list[bytes] = []
    while len(values) < 40:
        assert time.monotonic() < deadline
        for member in (one, two):
            for record in member.poll(0.1, 100):
                values.append(record.value)
                if member is two:
                    mine.add(record.partition)
    assert threads == {threading.current_thread().name}
    assert mine
    assert set(values) == {b"new"}
    other.close()


needs_kcat = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


@needs_kcat
def test_another_client_reads_headers_key_and_payload(
    settings: KafkaSettings, stream: Stream
) -> None:
    headers = (("ce_id", b"1"), ("ce_type", b"order.paid"), ("content-type", b"application/json"))
    stream.publish([Record("topic", b'{"n":1}', key=b"k", headers=headers)])
    topic = f"{settings.prefix}topic"
    command = ["kcat", "-b", ",".join(settings.servers), "-C", "-t", topic, "-e", "-q"]
    shown = subprocess.run(
        [*command, "-o", "beginning", "-f", "%h|%k|%s\n"],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert shown.stdout == (b'ce_id=1,ce_type=order.paid,content-type=application/json|k|{"n":1}\n')


@needs_kcat
def test_what_another_client_produces_is_read(settings: KafkaSettings, stream: Stream) -> None:
    stream.publish([Record("topic", b"ours", key=b"k")])
    topic = f"{settings.prefix}topic"
    subprocess.run(
        ["kcat", "-b", ",".join(settings.servers), "-P", "-t", topic, "-k", "k", "-H", "a=1"],
        input=b"theirs",
        check=True,
        timeout=PATIENCE,
    )
    theirs = next(d for d in read(join(stream), 2) if d.value == b"theirs")
    assert (theirs.key, theirs.headers) == (b"k", (("a", b"1"),))


def test_a_killed_member_is_not_waited_for_by_the_one_that_is_started_in_its_place(
    settings: KafkaSettings,
) -> None:
    # Longer than anybody here is patient.
    patient = msgspec.structs.replace(settings, session_timeout=60.0, poll_interval=60.0)
    stream = KafkaStream(patient)
    try:
        stream.publish([Record("topic", b"1", key) for key in (b"a", b"b", b"c", b"d")])
        killed = subprocess.Popen(
            [sys.executable, "-c", MEMBER, msgspec.json.encode(patient).decode()],
            stdout=subprocess.PIPE,
        )
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"joined\n"
        killed.kill()
        killed.wait()
        killed.stdout.close()
        member = join(stream)
        assert len(read(member, 4)) == 4
        member.close()
    finally:
        stream.close()


#: Joins the group, reads something, and then does nothing until it is killed.
MEMBER = """
import sys, time, msgspec
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream
settings = msgspec.json.decode(sys.argv[1], type=KafkaSettings)
stream = KafkaStream(settings)
none = lambda _: None
member = stream.subscribe(["topic"], "group", on_assigned=none, on_revoked=none)
while not member.poll(0.5, 100):
    pass
print("joined", flush=True)
time.sleep(600)
"""
