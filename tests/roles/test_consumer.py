"""The consumer role: order of keys, offsets, poison messages, replays, assignments."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from rolehost.api import Event, RetryPolicy, actor, handler
from rolehost.delivery import deadletters
from rolehost.delivery.scopes import unit_of_work
from rolehost.errors import StorageUnavailable
from rolehost.roles.consumer.assignments import Assignments, Offsets
from rolehost.roles.consumer.lanes import Lanes
from rolehost.roles.consumer.role import ConsumerRole
from rolehost.storage import Partition, Record

pytestmark = pytest.mark.needs("rolehost_embedded")


def thing(data, **fields):
    return Event(topic="things", type="thing", data=data, **fields)


def publish(here, *events):
    with here.services.unit_of_work() as work:
        for event in events:
            work.publish(event)


def consumer(here, slot=0):
    return here.start(ConsumerRole, "consumer", slot)


def test_events_of_a_key_are_handled_in_order_and_keys_side_by_side(host, collected):
    @handler(topic="things", group="g", payload=int)
    def on(context, event):
        collected.add((event.key, event.data))

    here = host(handlers=[on])
    consumer(here)
    publish(here, *[thing(n, key=f"k{n % 9}") for n in range(300)])
    by_key = defaultdict(list)
    for key, n in collected.wait(300):
        by_key[key].append(n)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert len(by_key) == 9


def test_effects_of_events_happen_once(host, collected):
    @actor()
    def effect(context, n: int):
        pass

    @handler(topic="things", group="g", payload=int)
    def on(context, event):
        with context.services.unit_of_work() as work:
            work.enqueue(effect, n=event.data)
        collected.add(event.data)

    here = host([effect], [on])
    consumer(here)
    publish(here, *[thing(n, id=f"id-{n % 50}") for n in range(100)])
    collected.wait(50)
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(50,)]


def test_a_poison_event_becomes_a_dead_letter_and_blocks_no_other(host, collected):
    @handler(topic="things", group="g", payload=int, retry=RetryPolicy(attempts=2, delays=(0.01,)))
    def on(context, event):
        if event.data == 13:
            raise ValueError("unlucky")
        collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(b"no json", key="k"), *[thing(n, key="k") for n in range(20)])
    collected.wait(19)
    here.stop()
    errors = here.read("SELECT error FROM rolehost_dead_events ORDER BY error")
    assert [row[0].split(":")[0] for row in errors] == ["PayloadError", "ValueError"]


def test_a_restarted_group_continues_at_its_offsets(host, collected):
    @handler(topic="things", group="g", payload=int)
    def on(context, event):
        collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, *[thing(n) for n in range(10)])
    collected.wait(10)
    here.stop()
    publish(here, *[thing(n) for n in range(10, 20)])
    consumer(here)
    assert sorted(collected.wait(20)) == list(range(20))


def test_a_dead_event_is_handled_again_when_it_is_replayed(host, collected):
    broken = threading.Event()
    broken.set()

    @handler(topic="things", group="g", retry=RetryPolicy(attempts=1))
    def on(context, event):
        collected.add(event.id)
        if broken.is_set():
            raise ValueError("not yet")

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(b"{}", id="e"))
    collected.wait(1)
    while not here.read("SELECT 1 FROM rolehost_dead_events"):
        threading.Event().wait(0.01)
    broken.clear()
    with unit_of_work(here.services.delivery) as work:
        work.wake(deadletters.replay(work.transaction, "event:1", 0))
    assert collected.wait(2) == ["e", "e"]
    while here.read("SELECT 1 FROM rolehost_dead_events"):
        threading.Event().wait(0.01)


def test_a_batch_handler_gets_several_events_at_once(host, collected):
    @handler(topic="things", group="g", payload=int, batch=50)
    def on(context, events):
        for event in events:
            collected.add((len(events), event.data))

    here = host(handlers=[on], settings="[consumer]\nin_flight = 60\n")
    publish(here, *[thing(n) for n in range(400)])
    consumer(here)
    sizes = [size for size, _ in collected.wait(400)]
    assert sorted(n for _, n in collected.items) == list(range(400))
    assert max(sizes) > 1


def test_two_consumers_share_the_partitions(host, collected):
    @handler(topic="things", group="g", payload=int)
    def on(context, event):
        with context.services.unit_of_work():
            collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    consumer(here, slot=1)
    publish(here, *[thing(n) for n in range(200)])
    assert sorted(set(collected.wait(200))) == list(range(200))


def test_only_a_contiguous_run_of_finished_offsets_is_committable():
    offsets = Offsets()
    for offset in (5, 6, 9):
        offsets.take(offset)
    assert not offsets.finish(9)
    assert not offsets.finish(6)
    assert offsets.committable is None
    assert offsets.finish(5)
    assert offsets.committable == 10
    assert len(offsets) == 0


def test_a_lane_keeps_its_order_while_another_goes_on():
    lanes = Lanes(2, "test")
    gate, seen, done = threading.Event(), [], threading.Semaphore(0)

    def work(name, wait=False):
        def run():
            if wait:
                gate.wait(10)
            seen.append(name)
            done.release()

        return run

    lanes.submit([("a", work("a1", wait=True)), ("a", work("a2"))])
    lanes.submit([("b", work("b1"))])
    assert done.acquire(timeout=10)
    assert seen == ["b1"]
    gate.set()
    assert done.acquire(timeout=10)
    assert done.acquire(timeout=10)
    assert seen == ["b1", "a1", "a2"]
    assert lanes.stop(10)


HERE, THERE = Partition("things", 0), Partition("things", 1)


def delivered(partition, *offsets):
    return [Record("things", b"").read_at(partition, offset, 0) for offset in offsets]


class Hand(ThreadPoolExecutor):
    """A thread of the lanes."""

    def __init__(self):
        super().__init__(1)

    def __call__(self, call, *arguments):
        return self.submit(call, *arguments).result(20)


def test_an_event_that_has_not_begun_when_its_partition_moves_does_not_begin():
    assignments = Assignments()
    assignments.assign([HERE, THERE], 0)
    first, second, other = assignments.take(delivered(HERE, 1, 2) + delivered(THERE, 1))
    with Hand() as one, Hand() as two:
        assert one(assignments.start, first)
        assert not assignments.revoke([HERE], 0.0)
        assert [two(assignments.start, each) for each in (second, other)] == [False, True]
        one(assignments.settle, first, True)
        assert assignments.revoke([HERE], 0.0)
        assert assignments.committable() == {HERE: 2}
        assignments.remove([HERE])
        two(assignments.settle, other, True)
    assert (assignments.in_flight, assignments.committable()) == (0, {THERE: 2})


def test_a_handler_that_outlives_its_assignment_commits_nothing_in_the_next_one():
    assignments = Assignments()
    assignments.assign([HERE], 0)
    with Hand() as one, Hand() as two:
        (slow,) = assignments.take(delivered(HERE, 5))
        assert one(assignments.start, slow)
        assignments.revoke([HERE], 0.0)
        assignments.remove([HERE])
        assignments.assign([HERE], 0)
        (again,) = assignments.take(delivered(HERE, 5))
        assert two(assignments.start, again)
        one(assignments.settle, slow, True)
    assert assignments.committable() == {}
    assert assignments.in_flight == 1


def test_a_partition_revoked_during_a_wait_is_kept_or_settled_and_never_lost():
    assignments = Assignments()
    assignments.assign([HERE, THERE], 0)
    here, there = assignments.take(delivered(HERE, 1) + delivered(THERE, 1))
    assert assignments.start(here)
    with Hand() as hand:
        left = hand.submit(assignments.revoke, [HERE, THERE], 20)
        there.assignment.revoked.wait(20)
        assert not assignments.start(there)
        assert not left.done()
        assignments.settle(here, True)
        assert left.result(20)
    assert assignments.in_flight == 0


def test_a_wait_for_room_ends_when_there_is_enough():
    assignments = Assignments()
    taken = assignments.take(delivered(HERE, *range(10)))
    assert not assignments.wait_for_room(5, 0.0)

    def work():
        for each in taken[:5]:
            assert assignments.start(each)
            assignments.settle(each, True)

    with Hand() as hand:
        waiting = hand.submit(work)
        assert assignments.wait_for_room(5, 20)
        waiting.result(20)
    assert assignments.committable() == {HERE: 5}


def test_an_offset_that_moved_while_it_was_committed_is_committed_again():
    assignments = Assignments()
    assignments.assign([HERE], 0)
    one, two = assignments.take(delivered(HERE, 1, 2))
    assert assignments.start(one)
    assignments.settle(one, True)
    offsets = assignments.committable()
    assert assignments.start(two)
    assignments.settle(two, True)
    assignments.note_committed(offsets)
    assert assignments.committable() == {HERE: 3}
    assignments.note_committed(assignments.committable())
    assert assignments.committable() == {}


def test_events_of_many_polls_become_one_batch(host, collected):
    gate = threading.Event()

    @handler(topic="things", group="g", payload=int, batch=100)
    def on(context, events):
        collected.add(len(events))

    here = host(handlers=[on])
    role = consumer(here)
    (group,) = role._groups
    # The current work of this lane takes long.
    role._lanes.submit([(("g", "things"), lambda: gate.wait(20))])
    for n in range(40):
        publish(here, thing(n))
    while len(group._batched["things"]) < 40:
        threading.Event().wait(0.01)
    gate.set()
    assert collected.wait(1) == [40]


def test_batches_keep_the_order_of_each_key(host, collected):
    @handler(topic="things", group="g", payload=int, batch=7)
    def on(context, events):
        for event in events:
            collected.add((event.key, event.data))

    here = host(handlers=[on])
    publish(here, *[thing(n, key=f"k{n % 5}") for n in range(300)])
    consumer(here)
    seen = collected.wait(300)
    for key in {key for key, _ in seen}:
        numbers = [number for each, number in seen if each == key]
        assert numbers == sorted(numbers), key


def test_a_long_replay_delays_no_other_event(host, collected):
    gate, broken = threading.Event(), threading.Event()
    broken.set()

    @handler(topic="things", group="g", payload=int, retry=RetryPolicy(attempts=1))
    def on(context, event):
        if event.data == 0 and broken.is_set():
            raise ValueError("not yet")
        if event.data == 0:
            gate.wait(20)
        collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(0, id="e"))
    while not here.read("SELECT 1 FROM rolehost_dead_events"):
        threading.Event().wait(0.01)
    broken.clear()
    with unit_of_work(here.services.delivery) as work:
        work.wake(deadletters.replay(work.transaction, "event:1", 0))
    while here.read("SELECT 1 FROM rolehost_dead_events WHERE state <> 'replay'"):
        threading.Event().wait(0.01)
    publish(here, *[thing(n) for n in range(1, 20)])
    assert sorted(collected.wait(19)) == list(range(1, 20))
    gate.set()
    assert 0 in collected.wait(20)


def test_an_unavailable_stream_omits_its_lag_and_nothing_else(host, monkeypatch):
    @handler(topic="things", group="g")
    def on(context, event):
        pass

    here = host(handlers=[on])
    publish(here, thing(b"{}"))
    assert [(each.topic, each.group) for each in here.services.statistics().lags] == [
        ("things", "g")
    ]

    def away(topics, group):
        raise StorageUnavailable("away")

    monkeypatch.setattr(here.services.stream, "lag", away)
    assert (here.services.statistics().lags, here.services.statistics().outbox_count) == ((), 1)


def test_failing_events_occupy_no_thread_while_they_wait_for_their_retry(host, collected):
    healed = threading.Event()

    @handler(
        topic="things",
        group="g",
        payload=int,
        retry=RetryPolicy(attempts=1000, delays=(0.02,)),
    )
    def on(context, event):
        if event.key == "bad" and not healed.is_set():
            raise ValueError("not yet")
        with context.services.unit_of_work():
            collected.add((event.key, event.data))

    here = host(handlers=[on], settings="[consumer]\nthreads = 1\n")
    consumer(here)
    consumer(here, slot=1)
    publish(here, *[thing(n, key="bad") for n in range(9)], *[thing(n, key="k") for n in range(9)])
    assert collected.wait(9) == [("k", n) for n in range(9)]
    while here.services.statistics().lags[0].records:
        threading.Event().wait(0.01)
    assert here.services.statistics().parked_events == 9
    here.stop()
    consumer(here, slot=2)
    healed.set()
    assert collected.wait(18)[9:] == [("bad", n) for n in range(9)]
    while here.read("SELECT 1 FROM rolehost_parked_events"):
        threading.Event().wait(0.01)
