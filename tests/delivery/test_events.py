"""Events: outbox, relay, inbox, retries in place, dead letters."""

from __future__ import annotations

import random

import msgspec
import pytest
from rolehost.api import (
    Delivery,
    Event,
    Partition,
    Record,
    RetryPolicy,
    StorageError,
    StorageUnavailable,
    Stream,
    actor,
    handler,
)
from rolehost.delivery import deadletters, envelope, inbox, leases
from rolehost.delivery.handling import Handling, Stopping
from rolehost.delivery.relay import Relay


class Memory:
    """A stream that remembers; fails when told to."""

    def __init__(self):
        self.records: list[Record] = []
        self.away = False
        self.failing = set()
        self.refuses = None

    publish_each = Stream.publish_each

    def ping(self):
        if self.away:
            raise StorageUnavailable("away")

    def publish(self, records):
        self.ping()
        if any(record.topic in self.failing for record in records):
            raise StorageUnavailable("no such topic")
        if any(record.value == self.refuses for record in records):
            raise StorageError("refused")
        self.records.extend(records)


@actor()
def plain(context, n: int = 0):
    pass


def publish(bench, *events):
    with bench.engine.unit_of_work() as work:
        return [work.publish(event) for event in events]


def thing(data=b"{}", **fields):
    return Event(topic="things", type="thing.made", data=data, **fields)


def deliver(record, offset=0):
    return Delivery(Partition(record.topic, 0), offset, record, 1_700_000_000_000)


def handling(bench, services_of, each, waits=None):
    stops = iter(waits or [])
    return Handling(bench.engine, services_of(bench.engine), each, lambda _s: next(stops, False))


def test_an_event_waits_in_the_outbox_and_leaves_through_the_relay(bench):
    bench.make_engine()
    stream = Memory()
    relay = Relay(bench.engine, stream, "me")
    ids = publish(bench, thing(b'{"a": 1}', key="k"))
    assert bench.woken == ["outbox"]
    assert bench.count("rolehost_outbox") == 1
    assert relay.step() == 1
    assert bench.count("rolehost_outbox") == 0
    [record] = stream.records
    assert record.value == b'{"a": 1}', "byte for byte"
    headers = dict(record.headers)
    assert headers["ce_id"].decode() == ids[0]
    assert headers["ce_source"] == b"/tests"
    assert headers["ce_specversion"] == b"1.0"


def test_a_stream_that_is_away_loses_nothing_and_keeps_the_order(bench):
    bench.make_engine()
    stream = Memory()
    stream.away = True
    relay = Relay(bench.engine, stream, "me")
    publish(bench, *[thing(str(n).encode(), key="k") for n in range(10)])
    with pytest.raises(StorageUnavailable):
        relay.step()
    assert bench.count("rolehost_outbox") == 10
    stream.away = False
    relay.step()
    assert [record.value for record in stream.records] == [str(n).encode() for n in range(10)]


def test_an_event_that_the_stream_refuses_is_a_dead_letter_and_holds_up_nobody(bench):
    bench.make_engine()
    stream = Memory()
    stream.refuses = b"too large"
    relay = Relay(bench.engine, stream, "me")
    publish(bench, *[thing(body, key="k") for body in (b"1", b"too large", b"2")])
    relay.step()
    assert list(dict.fromkeys(record.value for record in stream.records)) == [b"1", b"2"]
    assert bench.count("rolehost_outbox") == 0
    with bench.database.session():
        [letter] = deadletters.listing(bench.database)
    assert (letter.what, letter.error) == ("relay", "StorageError: refused")
    stream.refuses = None
    with bench.database.session(), bench.database.transaction() as tx:
        assert deadletters.replay(tx, letter.id, bench.clock.now()) == "outbox"
    relay.step()
    assert stream.records[-1].value == b"too large"
    assert bench.count("rolehost_dead_events") == 0


def test_a_shard_is_relayed_by_the_holder_of_its_lease_alone(bench):
    bench.make_engine()
    stream = Memory()
    first, second = Relay(bench.engine, stream, "a"), Relay(bench.engine, stream, "b")
    publish(bench, thing(key="k"))
    assert first.step() == 1
    publish(bench, thing(key="k"))
    assert second.step() == 0
    bench.clock.forward(bench.engine.policy.lease + 1)
    assert second.step() == 1


def test_a_relay_that_was_frozen_repeats_events_but_does_not_reorder_their_first_appearance(bench):
    bench.make_engine()
    stream = Memory()
    frozen = Relay(bench.engine, stream, "frozen")
    publish(bench, *[thing(str(n).encode(), key="k") for n in range(3)])
    batch = []

    def thaw(records):
        batch.extend(records)
        bench.clock.forward(bench.engine.policy.lease + 1)
        Relay(bench.engine, stream, "next").step()
        publish(bench, thing(b"3", key="k"))
        Relay(bench.engine, stream, "next").step()
        stream.records.extend(records)

    frozen._stream = Memory()
    frozen._stream.publish = thaw
    frozen.step()
    firsts = list(dict.fromkeys(record.value for record in stream.records))
    assert firsts == [b"0", b"1", b"2", b"3"]
    assert bench.count("rolehost_outbox") == 0


def test_headers_and_payload_survive_the_way_through_the_stream():
    class Thing(msgspec.Struct):
        n: int

    event = Event(
        topic="things",
        type="thing.made",
        data=Thing(3),
        key="ключ",
        subject="s",
        extensions={"tenant": "å"},
    )
    record = envelope.to_record(event, event_id="id-1", source="/x", now=1_700_000_000_123)
    back = envelope.to_event(deliver(record), msgspec.json.Decoder(Thing))
    assert (back.data, back.key, back.id, back.source) == (Thing(3), "ключ", "id-1", "/x")
    assert (back.subject, back.extensions, back.type) == ("s", {"tenant": "å"}, "thing.made")
    assert back.time.isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_a_record_of_another_producer_needs_no_headers():
    back = envelope.to_event(deliver(Record("things", b"plain"), offset=7), None)
    assert (back.data, back.id, back.type) == (b"plain", "things/0/7", "")


def record_of(bench, data=b"{}", **fields):
    return envelope.to_record(
        thing(data, **fields), event_id=fields.get("id", "e1"), source="/x", now=bench.clock.now()
    )


def test_effects_and_inbox_mark_commit_together_and_a_duplicate_has_no_effect(bench, services_of):
    @handler(topic="things", group="g")
    def on(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)

    bench.make_engine(plain)
    at_work = handling(bench, services_of, on)
    delivery = deliver(record_of(bench))
    assert at_work.handle(delivery, careful=False) == "handled"
    assert at_work.handle(delivery, careful=True) == "duplicate"
    assert bench.count("rolehost_jobs") == bench.count("rolehost_inbox") == 1
    assert bench.count("rolehost_started_events") == 0


def test_groups_do_not_share_their_marks(bench, services_of):
    def count(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)

    bench.make_engine(plain)
    delivery = deliver(record_of(bench))
    for group in ("g", "h"):
        on = handler(topic="things", group=group)(count)
        assert handling(bench, services_of, on).handle(delivery, careful=False) == "handled"
    assert bench.count("rolehost_jobs") == 2


def test_a_failing_handler_is_repeated_in_place_and_then_buried_with_everything(bench, services_of):
    tries = []

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=3, delays=(0,)))
    def on(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
        tries.append(context.attempt)
        raise ValueError("no")

    bench.make_engine(plain)
    outcome = handling(bench, services_of, on).handle(deliver(record_of(bench)), careful=False)
    assert (outcome, tries) == ("dead", [1, 2, 3])
    assert bench.count("rolehost_jobs") == bench.count("rolehost_inbox") == 0
    with bench.database.session():
        [letter] = deadletters.listing(bench.database)
        shown = deadletters.show(bench.database, letter.id)
    assert (letter.what, letter.error) == ("on", "ValueError: no")
    assert shown["headers"]["ce_id"] == "e1"
    assert shown["value"] == "{}"


def test_an_undecodable_event_is_a_dead_letter_at_once(bench, services_of):
    @handler(topic="things", group="g", payload=dict)
    def on(context, event):
        raise AssertionError("must not be called")

    bench.make_engine()
    delivery = deliver(record_of(bench, b"\xff not json"))
    assert handling(bench, services_of, on).handle(delivery, careful=False) == "dead"


def test_a_dead_event_is_replayed_and_discarded(bench, services_of):
    healed = []

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        if not healed:
            raise ValueError
        healed.append(event.id)

    bench.make_engine()
    at_work = handling(bench, services_of, on)
    at_work.handle(deliver(record_of(bench)), careful=False)
    with bench.database.session(), bench.database.transaction() as tx:
        assert deadletters.replay(tx, "event:1", bench.clock.now()) == "replay:g"
    healed.append("ready")
    with bench.database.session():
        [(number, _, delivery)] = deadletters.to_replay(bench.database, "g", 10)
    assert at_work.handle(delivery, careful=True) == "handled"
    assert healed == ["ready", "e1"]
    with bench.database.session(), bench.database.transaction() as tx:
        assert deadletters.discard(tx, f"event:{number}")
        assert not deadletters.discard(tx, f"event:{number}")


def test_an_event_that_kills_its_process_again_and_again_is_buried(bench, services_of):
    @handler(topic="things", group="g", max_crashes=3)
    def on(context, event):
        raise AssertionError("must not be called")

    bench.make_engine()
    with bench.database.session(), bench.database.transaction() as tx:
        for _ in range(3):
            inbox.begin(tx, "g", "/x e1", bench.clock.now())
    delivery = deliver(record_of(bench))
    assert handling(bench, services_of, on).handle(delivery, careful=True) == "dead"


def test_a_stop_in_between_leaves_the_event_undecided_and_uncharged(bench, services_of):
    @handler(topic="things", group="g")
    def on(context, event):
        raise ValueError

    bench.make_engine()
    at_work = handling(bench, services_of, on, waits=[True])
    with pytest.raises(Stopping):
        at_work.handle(deliver(record_of(bench)), careful=True)
    assert bench.count("rolehost_dead_events") == 0
    assert bench.count("rolehost_started_events") == 0


def test_a_batch_is_one_unit_of_work_without_its_duplicates(bench, services_of):
    seen = []

    @handler(topic="things", group="g", batch=10)
    def on(context, events):
        seen.append([event.data for event in events])
        with context.services.unit_of_work() as work:
            work.enqueue(plain)

    bench.make_engine(plain)
    at_work = handling(bench, services_of, on)
    some = [deliver(record_of(bench, b"%d" % n, id=f"e{n}"), n) for n in range(4)]
    at_work.handle_batch(some[:2])
    at_work.handle_batch(some)
    assert seen == [[b"0", b"1"], [b"2", b"3"]]
    assert bench.count("rolehost_jobs") == 2


def test_a_failing_batch_is_handled_one_by_one(bench, services_of):
    seen = []

    @handler(topic="things", group="g", batch=10, retry=RetryPolicy(attempts=1))
    def on(context, events):
        if any(event.data == b"1" for event in events):
            raise ValueError("one of them")
        seen.extend(event.data for event in events)

    bench.make_engine()
    some = [deliver(record_of(bench, b"%d" % n, id=f"e{n}"), n) for n in range(3)]
    handling(bench, services_of, on).handle_batch(some)
    assert seen == [b"0", b"2"]
    assert bench.count("rolehost_dead_events") == 1


def test_retry_delays_follow_the_policy_within_their_spread():
    policy = RetryPolicy(attempts=5, delays=(5, 300), jitter=0.2)
    source = random.Random(1)
    assert all(4 <= policy.delay(1, source) <= 6 for _ in range(100))
    assert all(240 <= policy.delay(7, source) <= 360 for _ in range(100))
    assert RetryPolicy(jitter=0).delay(3, source) == 20
    assert RetryPolicy(jitter=0).delay(500, source) == 36_000


def test_leases_of_the_relay_are_given_up_with_the_presence(bench):
    presence = leases.Presence(bench.database, bench.clock, 30)
    me = leases.Identity("me", "d", "worker", 0, 1)
    presence.renew(me)
    bench.make_engine()
    Relay(bench.engine, Memory(), me.id).step()
    assert bench.count("rolehost_leases") == bench.engine.policy.relay_shards
    presence.leave(me)
    assert bench.count("rolehost_leases") == bench.count("rolehost_processes") == 0
