"""Brokers that stop, freeze, and are three."""

from __future__ import annotations

import threading
import time

import pytest
from kafka import KafkaAdminClient
from rolehost.api import Record, StorageRefused, StorageUnavailable, Stream, Subscription

PATIENCE = 60.0


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


def place_of(url: str) -> list[str]:
    return url.removeprefix("kafka://").split(",")


def member_of(stream: Stream) -> Subscription:
    return stream.subscribe(["t"], "g", on_assigned=lambda _: None, on_revoked=lambda _: None)


def read(member: Subscription, count: int) -> list[bytes]:
    """Read so many values, through whatever outage there is."""
    found: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found}"
        try:
            found += [each.value for each in member.poll(0.5, 100)]
        except StorageUnavailable:
            threading.Event().wait(0.1)
    return found


def publish(stream: Stream, *values: bytes) -> None:
    """Publish as the relay does: all again until it is done."""
    records = [Record("t", value, key=b"k") for value in values]
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return stream.publish(records)
        except StorageUnavailable:
            assert time.monotonic() < deadline


def test_a_broker_that_stops_is_an_outage_and_all_goes_on_when_it_is_back(
    start_server, stream_of
) -> None:
    server = start_server("kafka")
    stream = stream_of(*place_of(server.url))
    publish(stream, b"1")
    member = member_of(stream)
    assert read(member, 1) == [b"1"]
    server.stop(immediate=True)
    with pytest.raises(StorageUnavailable, match=r"^kafka: "):
        stream.publish([Record("t", b"lost", key=b"k")])
    with pytest.raises(StorageUnavailable, match=r"^kafka: "):
        for _ in range(100):
            member.poll(0.5, 100)
    server.run()
    publish(stream, b"2")
    found = read(member, 1)
    while b"2" not in found:
        found += read(member, 1)
    assert set(found) <= {b"lost", b"1", b"2"}
    stream.close()


def test_publications_that_timed_out_keep_the_order_of_first_appearances(
    start_server, stream_of
) -> None:
    server = start_server("kafka")
    stream = stream_of(*place_of(server.url), publish_timeout=2.0)
    publish(stream, b"0")
    server.freeze()
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            stream.publish([Record("t", b"%d" % number, key=b"k") for number in (1, 2, 3)])
    server.thaw()
    publish(stream, *(b"%d" % number for number in range(1, 6)))
    publish(stream, b"6")
    member = member_of(stream)
    found: list[bytes] = []
    while b"6" not in found:
        found += read(member, 1)
    assert list(dict.fromkeys(found)) == [b"%d" % number for number in range(7)]
    assert found[-1] == b"6"
    stream.close()


def test_closing_while_the_brokers_are_away_ends(start_server, stream_of) -> None:
    server = start_server("kafka")
    stream = stream_of(*place_of(server.url))
    publish(stream, b"1")
    member = member_of(stream)
    read(member, 1)
    server.freeze()

    def close() -> None:
        member.close()
        stream.close()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    server.thaw()


def test_a_commit_while_the_brokers_are_away_is_an_outage_and_can_be_repeated(
    start_server, stream_of
) -> None:
    server = start_server("kafka")
    stream = stream_of(*place_of(server.url))
    publish(stream, b"1")
    member = member_of(stream)
    places = []
    while not places:
        places = [(each.partition, each.offset) for each in member.poll(0.5, 1)]
    ((partition, offset),) = places
    server.freeze()
    with pytest.raises(StorageUnavailable, match="committing"):
        member.commit({partition: offset + 1})
    server.thaw()
    deadline = time.monotonic() + PATIENCE
    lag = 1
    while lag:
        assert time.monotonic() < deadline
        try:
            member.commit({partition: offset + 1})
            member.poll(0.2, 1)
            lag = stream.lag(["t"], "g")
        except StorageUnavailable:
            continue
    stream.close()


def test_topics_of_a_cluster_have_the_copies_that_are_asked_for(start_server, stream_of) -> None:
    server = start_server("kafka", brokers=3)
    stream = stream_of(*place_of(server.url), replication=3)
    publish(stream, b"1")
    admin = KafkaAdminClient(bootstrap_servers=place_of(server.url))
    (topic,) = [each for each in admin.list_topics() if each.endswith("-t")]
    (found,) = admin.describe_topics([topic])
    admin.close()
    assert {len(part["replica_nodes"]) for part in found["partitions"]} == {3}
    # One broker less is no outage: two copies are in sync.
    server.brokers[0].stop(immediate=True)
    publish(stream, b"2")
    member = member_of(stream)
    found = read(member, 2)
    assert list(dict.fromkeys(found)) == [b"1", b"2"]
    member.close()
    stream.close()


def test_more_copies_than_brokers_are_told_with_their_setting(start_server, stream_of) -> None:
    server = start_server("kafka")
    stream = stream_of(*place_of(server.url), replication=3)
    with pytest.raises((StorageRefused, StorageUnavailable), match=r"\[kafka\] .*replication"):
        stream.publish([Record("t", b"1")])
    stream.close()
