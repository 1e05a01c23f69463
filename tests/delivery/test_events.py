"""Events: outbox, relay, inbox, retries in place, dead letters."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import msgspec
import pytest
from rolehost.api import (
    Complete,
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
from rolehost.delivery.coroutines import EndedCoroutine, Stopping
from rolehost.delivery.handling import Handling
from rolehost.delivery.relay import BATCH, MAX_RETRY, Relay


class Memory:
    """A stream that stores its records, and fails on demand."""

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
    with bench.unit_of_work() as work:
        return [work.publish(event) for event in events]


def thing(data=b"{}", **fields):
    return Event(**{"topic": "things", "type": "thing.made", "data": data, **fields})


def deliver(record, offset=0):
    return record.read_at(Partition(record.topic, 0), offset, 1_700_000_000_000)


def handling(bench, services_of, each, waits=None):
    stops = iter(waits or [])
    return Handling(bench.runtime, services_of(bench.runtime), each, lambda _s: next(stops, False))


def test_an_event_waits_in_the_outbox_and_leaves_through_the_relay(bench):
    bench.make_runtime()
    stream = Memory()
    relay = Relay(bench.runtime, stream, "me")
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


def test_an_unavailable_stream_loses_no_event_and_keeps_the_order(bench):
    bench.make_runtime()
    stream = Memory()
    stream.away = True
    relay = Relay(bench.runtime, stream, "me")
    publish(bench, *[thing(str(n).encode(), key="k") for n in range(10)])
    with pytest.raises(StorageUnavailable):
        relay.step()
    assert bench.count("rolehost_outbox") == 10
    stream.away = False
    relay.step()
    assert [record.value for record in stream.records] == [str(n).encode() for n in range(10)]


def test_an_event_that_the_stream_refuses_is_a_dead_letter_and_blocks_no_other(bench):
    bench.make_runtime()
    stream = Memory()
    stream.refuses = b"too large"
    relay = Relay(bench.runtime, stream, "me")
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
    bench.make_runtime()
    stream = Memory()
    first, second = Relay(bench.runtime, stream, "a"), Relay(bench.runtime, stream, "b")
    publish(bench, thing(key="k"))
    assert first.step() == 1
    publish(bench, thing(key="k"))
    assert second.step() == 0
    bench.clock.forward(bench.runtime.policy.lease + 1)
    assert second.step() == 1


def test_a_relay_that_was_frozen_repeats_events_but_does_not_reorder_their_first_appearance(bench):
    bench.make_runtime()
    stream = Memory()
    frozen = Relay(bench.runtime, stream, "frozen")
    publish(bench, *[thing(str(n).encode(), key="k") for n in range(3)])
    batch = []

    def thaw(records):
        batch.extend(records)
        bench.clock.forward(bench.runtime.policy.lease + 1)
        Relay(bench.runtime, stream, "next").step()
        publish(bench, thing(b"3", key="k"))
        Relay(bench.runtime, stream, "next").step()
        stream.records.extend(records)

    frozen._stream = Memory()
    frozen._stream.publish = thaw
    frozen.step()
    firsts = list(dict.fromkeys(record.value for record in stream.records))
    assert firsts == [b"0", b"1", b"2", b"3"]
    assert bench.count("rolehost_outbox") == 0


def test_events_that_a_lost_relay_was_removing_are_sent_once_and_removed_later(postgres):
    bench = postgres
    bench.make_runtime()
    stream = Memory()
    relay = Relay(bench.runtime, stream, "me")
    publish(bench, thing(b"0", key="k"))
    with bench.lost_host("DELETE FROM rolehost_outbox"):
        publish(bench, thing(b"1", key="k"))
        assert relay.step() == 1, "the one that is not locked"
        assert relay.step() == 0
        assert relay.wait_seconds(5.0) == 5.0, "it does not try all the time"
    assert relay.step() == 1
    assert [record.value for record in stream.records] == [b"0", b"1"]
    assert bench.count("rolehost_outbox") == 0


def test_an_event_with_the_id_of_a_locked_one_of_another_history_is_sent(postgres):
    bench = postgres
    bench.make_runtime()
    stream = Memory()
    relay = Relay(bench.runtime, stream, "me")
    publish(bench, thing(b"0", key="k"))
    with bench.lost_host("DELETE FROM rolehost_outbox"):
        relay.step()
    with bench.database.transaction() as tx:
        tx.execute("UPDATE rolehost_outbox SET value = ?", (b"1",))
    assert relay.step() == 1
    assert [record.value for record in stream.records] == [b"0", b"1"]


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

    bench.make_runtime(plain)
    at_work = handling(bench, services_of, on)
    delivery = deliver(record_of(bench))
    assert at_work.handle(delivery, suspect=False) == "handled"
    assert at_work.handle(delivery, suspect=True) == "duplicate"
    assert bench.count("rolehost_jobs") == bench.count("rolehost_inbox") == 1
    assert bench.count("rolehost_started_events") == 0


def test_groups_do_not_share_their_marks(bench, services_of):
    def count(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)

    bench.make_runtime(plain)
    delivery = deliver(record_of(bench))
    for group in ("g", "h"):
        on = handler(topic="things", group=group)(count)
        assert handling(bench, services_of, on).handle(delivery, suspect=False) == "handled"
    assert bench.count("rolehost_jobs") == 2


def test_an_event_of_a_failing_handler_is_retried_in_place_and_then_a_dead_letter(
    bench, services_of
):
    tries = []

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=3, delays=(0,)))
    def on(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
        tries.append(context.attempt)
        raise ValueError("no")

    bench.make_runtime(plain)
    outcome = handling(bench, services_of, on).handle(deliver(record_of(bench)), suspect=False)
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

    bench.make_runtime()
    delivery = deliver(record_of(bench, b"\xff not json"))
    assert handling(bench, services_of, on).handle(delivery, suspect=False) == "dead"


def test_a_dead_event_is_replayed_and_discarded(bench, services_of):
    healed = []

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        if not healed:
            raise ValueError
        healed.append(event.id)

    bench.make_runtime()
    at_work = handling(bench, services_of, on)
    at_work.handle(deliver(record_of(bench)), suspect=False)
    with bench.database.session(), bench.database.transaction() as tx:
        assert deadletters.replay(tx, "event:1", bench.clock.now()) == "replay:g"
    healed.append("ready")
    with bench.database.session():
        [(number, _, delivery)] = deadletters.events_to_replay(bench.database, "g", 10)
    assert at_work.handle(delivery, suspect=True) == "handled"
    assert healed == ["ready", "e1"]
    with bench.database.session(), bench.database.transaction() as tx:
        assert deadletters.discard(tx, f"event:{number}")
        assert not deadletters.discard(tx, f"event:{number}")


def test_an_event_that_kills_its_process_repeatedly_becomes_a_dead_letter(bench, services_of):
    @handler(topic="things", group="g", max_crashes=3)
    def on(context, event):
        raise AssertionError("must not be called")

    bench.make_runtime()
    with bench.database.session(), bench.database.transaction() as tx:
        for _ in range(3):
            inbox.begin(tx, "g", "/x e1", bench.clock.now())
    delivery = deliver(record_of(bench))
    assert handling(bench, services_of, on).handle(delivery, suspect=True) == "dead"


def test_a_stop_in_between_leaves_the_event_undecided_and_uncharged(bench, services_of):
    @handler(topic="things", group="g")
    def on(context, event):
        raise ValueError

    bench.make_runtime()
    at_work = handling(bench, services_of, on, waits=[True])
    with pytest.raises(Stopping):
        at_work.handle(deliver(record_of(bench)), suspect=True)
    assert bench.count("rolehost_dead_events") == 0
    assert bench.count("rolehost_started_events") == 0


def test_a_batch_is_one_unit_of_work_without_its_duplicates(bench, services_of):
    seen = []

    @handler(topic="things", group="g", batch=10)
    def on(context, events):
        seen.append([event.data for event in events])
        with context.services.unit_of_work() as work:
            work.enqueue(plain)

    bench.make_runtime(plain)
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

    bench.make_runtime()
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


def test_leases_of_the_relay_are_released_with_the_presence(bench):
    presence = leases.Presence(bench.database, bench.clock, 30)
    me = leases.Identity("me", "d", "worker", 0, 1)
    presence.renew(me)
    bench.make_runtime()
    Relay(bench.runtime, Memory(), me.id).step()
    assert bench.count("rolehost_leases") == bench.runtime.policy.relay_shards
    presence.remove(me)
    assert bench.count("rolehost_leases") == bench.count("rolehost_processes") == 0


def test_a_topic_that_fails_keeps_back_its_own_events_only_and_nothing_is_published_twice(bench):
    bench.make_runtime(publishes=("good", "bad"))
    stream = Memory()
    stream.failing = {"bad"}
    relay = Relay(bench.runtime, stream, "me")
    for n in range(3):
        publish(bench, thing(b"bad %d" % n, key="k", topic="bad"))
        publish(bench, thing(b"good %d" % n, key="k", topic="good"))
        relay.step()
    assert [record.value for record in stream.records] == [b"good 0", b"good 1", b"good 2"]
    for _ in range(4):
        wait = relay.wait_seconds(60.0)
        assert 0 < wait <= MAX_RETRY / 1000, "it is tried again, with a longer pause each time"
        bench.clock.forward(wait)
        relay.step()
    assert len(stream.records) == 3
    assert bench.count("rolehost_outbox") == 3
    stream.failing = set()
    bench.clock.forward(relay.wait_seconds(60.0))
    relay.step()
    assert [record.value for record in stream.records[3:]] == [b"bad 0", b"bad 1", b"bad 2"]
    assert (bench.count("rolehost_outbox"), relay.wait_seconds(60.0)) == (0, 60.0)


def test_a_backlog_of_a_topic_that_fails_is_no_part_of_the_batches_of_others(bench):
    bench.make_runtime(publishes=("good", "bad"))
    stream = Memory()
    stream.failing = {"bad"}
    relay = Relay(bench.runtime, stream, "me")
    publish(bench, *[thing(key="k", topic="bad") for _ in range(BATCH + 20)])
    publish(bench, thing(b"good", key="k", topic="good"))
    relay.step()
    assert (stream.records, relay.wait_seconds(60.0)) == ([], 0.0)
    relay.step()
    assert [record.value for record in stream.records] == [b"good"]
    stream.failing = set()
    bench.clock.forward(relay.wait_seconds(60.0))
    steps = 0
    while relay.wait_seconds(60.0) < 60.0:
        relay.step()
        steps += 1
    assert steps > 1, "a few first, then all that wait"
    assert bench.count("rolehost_outbox") == 0


def test_a_fault_of_the_stream_with_one_topic_is_no_fault_of_another(bench):
    class Faulty(Memory):
        def publish(self, records):
            if records[0].topic == "bad":
                raise ZeroDivisionError
            super().publish(records)

    bench.make_runtime(publishes=("good", "bad"))
    stream = Faulty()
    publish(bench, thing(topic="bad"), thing(b"good", topic="good"))
    Relay(bench.runtime, stream, "me").step()
    assert [record.value for record in stream.records] == [b"good"]
    assert bench.count("rolehost_outbox") == 1


def test_several_refused_events_are_dead_letters_and_the_others_keep_their_order(bench):
    bench.make_runtime()
    stream = Memory()
    stream.refuses = b"x"
    publish(bench, *[thing(body, key="k") for body in (b"x", b"1", b"x", b"x", b"2", b"x")])
    Relay(bench.runtime, stream, "me").step()
    assert [record.value for record in stream.records] == [b"1", b"2"]
    assert bench.count("rolehost_dead_events") == 4
    assert bench.count("rolehost_outbox") == 0


UNDECODABLE = {
    "name of a header": {"headers": (("ce_id", b"1"), ("na\udcffme", b"v"))},
    "value of a header": {"headers": (("ce_id", b"\xff"),)},
    "attribute that is there twice": {"headers": (("ce_id", b"1"), ("ce_id", b"2"))},
    "time": {"headers": (("ce_id", b"1"), ("ce_time", b"yesterday"))},
    "value": {"value": b"\xff"},
    "depth of the value": {"value": b"[" * 100_000},
}


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("bad", UNDECODABLE.values(), ids=UNDECODABLE)
def test_an_undecodable_record_is_one_dead_letter_and_the_next_record_is_handled(
    bench, services_of, bad, batch
):
    seen = []

    @handler(topic="things", group="g", payload=dict, batch=batch)
    def on(context, given):
        seen.append([each.id for each in given] if batch > 1 else [given.id])

    bench.make_runtime()
    at_work = handling(bench, services_of, on)
    poison = Record(**{"topic": "things", "value": b"{}", "key": b"\xff", **bad})
    records = [record_of(bench, id="a"), poison, poison, record_of(bench, id="b")]
    some = [deliver(record, offset) for offset, record in enumerate(records)]
    if batch > 1:
        assert at_work.handle_batch(some) == ["handled", "dead", "dead", "handled"]
        assert seen == [["a", "b"]], "still one unit of work"
    else:
        outcomes = [at_work.handle(each, suspect=False) for each in some]
        assert outcomes == ["handled", "dead", "dead", "handled"]
        assert seen == [["a"], ["b"]]
    with bench.database.session():
        letters = deadletters.listing(bench.database)
        assert sorted(each.origin for each in letters) == ["things/0/1", "things/0/2"]
        shown = deadletters.show(bench.database, letters[0].id)
        assert set(shown["headers"]) == {
            name.replace("\udcff", "\\xff") for name, _ in poison.headers
        }
        with bench.database.transaction() as tx:
            deadletters.replay(tx, letters[0].id, bench.clock.now())
        [(_, _, again)] = deadletters.events_to_replay(bench.database, "g", 10)
    assert again == deliver(poison, again.offset)


def test_an_event_is_one_dead_letter_however_often_it_is_given_up(bench, services_of):
    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        raise ValueError(f"failure {len(failures)}")

    failures = []
    bench.make_runtime()
    at_work = handling(bench, services_of, on)
    unreadable = Record("things", b"{}", None, (("ce_time", b"x"),))
    for _ in range(2):  # the second time after a reset of the group's offsets
        at_work.handle(deliver(record_of(bench), 3), suspect=False)
        at_work.handle(deliver(record_of(bench, source="/other"), 4), suspect=False)
        at_work.handle(deliver(unreadable, 5), suspect=False)
        failures.append(1)
        bench.clock.forward(1)
    with bench.database.session():
        rows = bench.database.read(
            "SELECT event, position, error, deaths FROM rolehost_dead_events ORDER BY position"
        )
    assert rows == [
        ("/x e1", 3, "ValueError: failure 1", 2),
        ("/other e1", 4, "ValueError: failure 1", 2),
        ("things/0/5", 5, rows[2][2], 2),
    ]


def test_a_replay_that_fails_again_leaves_the_dead_letter_that_it_was(bench, services_of):
    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        raise ValueError

    bench.make_runtime()
    at_work = handling(bench, services_of, on)
    at_work.handle(deliver(record_of(bench)), suspect=False)
    with bench.database.session():
        [before] = deadletters.listing(bench.database)
        with bench.database.transaction() as tx:
            deadletters.replay(tx, before.id, bench.clock.now())
        [(number, _, delivery)] = deadletters.events_to_replay(bench.database, "g", 10)
    assert at_work.handle(delivery, suspect=True) == "dead"
    with bench.database.session():
        with bench.database.transaction() as tx:
            deadletters.delete_replayed(tx, number)
        [after] = deadletters.listing(bench.database)
    assert (after.id, after.state) == (before.id, "dead")


def test_a_dead_letter_of_an_earlier_schema_stays_and_can_be_replayed(bench, services_of):
    @handler(topic="things", group="g")
    def on(context, event):
        raise ValueError

    bench.make_runtime()
    row = ("g", "on", "/x e1", "things", 0, 3, b"[]", b"{}", "old")
    for _ in range(2):  # the same event failed for good twice, before dead letters were unique
        with bench.database.session(), bench.database.transaction() as tx:
            tx.execute(
                "INSERT INTO rolehost_dead_events (consumer_group, handler, event, topic, part,"
                " position, headers, value, error, state, died_at, published_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'replay', 1, 1)",
                row,
            )
    with bench.database.session():
        [(number, _, delivery), _] = deadletters.events_to_replay(bench.database, "g", 10)
    assert handling(bench, services_of, on).handle(delivery, suspect=True) == "dead"
    with bench.database.session(), bench.database.transaction() as tx:
        deadletters.delete_replayed(tx, number)
    assert bench.count("rolehost_dead_events") == 2


@pytest.mark.parametrize("batch", [1, 10])
def test_only_the_absence_of_the_service_database_is_waited_for(
    bench, services_of, database_away, batch
):
    away = ["cache", "database"]

    @handler(topic="things", group="g", batch=batch, retry=RetryPolicy(attempts=2, delays=(0,)))
    def on(context, given):
        what = away.pop() if away else None
        if what == "database":
            with database_away():
                bench.database.read("SELECT 1")
        elif what == "cache":
            raise StorageUnavailable("the cache is away")

    bench.make_runtime()
    waited = []
    at_work = Handling(
        bench.runtime, services_of(bench.runtime), on, lambda seconds: waited.append(seconds)
    )
    some = [deliver(record_of(bench, b"0", id="e0"))]
    if batch == 1:
        assert at_work.handle(some[0], suspect=False) == "handled"
    else:
        at_work.handle_batch(some)
    assert (away, waited[0]) == ([], 1.0)
    assert bench.count("rolehost_dead_events") == 0

    away = ["cache", "cache"]
    at_work.handle(deliver(record_of(bench, b"1", id="e1"), 1), suspect=False)
    assert bench.count("rolehost_dead_events") == 1, "it was counted both times"


def test_a_handler_whose_inner_block_failed_has_failed(bench, services_of):
    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
            with suppress(ValueError), context.services.unit_of_work():
                raise ValueError

    bench.make_runtime(plain)
    assert (
        handling(bench, services_of, on).handle(deliver(record_of(bench)), suspect=False) == "dead"
    )
    assert bench.count("rolehost_jobs") == bench.count("rolehost_inbox") == 0
    with bench.database.session():
        [(error,)] = bench.database.read("SELECT error FROM rolehost_dead_events")
    assert error.startswith("UnitOfWorkFailed: a block failed at ")


@pytest.mark.parametrize("error", [None, ValueError("fails")])
def test_a_completion_commits_with_the_mark_of_its_event(bench, services_of, error):
    bench.make_runtime(plain)

    def finish(services):
        with services.unit_of_work() as work:
            work.enqueue(plain, n=1)
        if error is not None:
            raise error

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    async def on(context, event):
        return Complete(finish, context.services)

    def wait_for(attempts, delivery):
        outcome = asyncio.run(attempts.begin(delivery))
        delivery.coroutine = EndedCoroutine(bench.clock.now(), outcome, None)

    services = services_of(bench.runtime)
    handling = Handling(bench.runtime, services, on, lambda _seconds: False, wait_for=wait_for)
    record = deliver(record_of(bench, id="e"))
    outcomes = [handling.handle(record, suspect=False) for _ in range(2)]
    assert outcomes == (["handled", "duplicate"] if error is None else ["dead", "dead"])
    assert bench.count("rolehost_jobs") == bench.count("rolehost_inbox") == (error is None)
