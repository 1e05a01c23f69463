from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import dramatiq
import pytest
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from rolehost.api import StorageError
from rolehost_embedded.broker import EmbeddedBroker
from rolehost_embedded.messages import _CRASHES, _PRIORITIES, _SCHEMA, MessageStore, TakenMessage
from rolehost_embedded.queue import EmbeddedQueue
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.wakes import Wakes


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(settings: EmbeddedSettings, clock: FakeClock) -> Iterator[MessageStore]:
    store = MessageStore(settings, clock)
    yield store
    store.close()


def test_messages_have_a_file_of_their_own(settings: EmbeddedSettings) -> None:
    assert settings.messages_path == settings.path.parent / "service-queue.db"


def test_a_message_is_taken_when_it_is_due_and_by_one_owner(
    store: MessageStore, clock: FakeClock
) -> None:
    store.put("q", b"later", 500)
    store.put("q", b"now", 0)
    assert [row.data for row in store.exchange("q", "me", 10, ())] == [b"now"]
    assert store.next_due("q") == clock.now + 500
    clock.now += 500
    assert [row.data for row in store.exchange("q", "other", 10, ())] == [b"later"]
    assert store.exchange("q", "me", 10, ()) == []


def test_messages_are_taken_in_the_order_they_became_due(store: MessageStore) -> None:
    for number in range(5):
        store.put("q", b"%d" % number, 0)
    assert [row.data for row in store.exchange("q", "me", 3, ())] == [b"0", b"1", b"2"]


def test_what_an_owner_finished_is_gone(store: MessageStore) -> None:
    store.put("q", b"x", 0)
    taken = store.exchange("q", "me", 10, ())
    store.exchange("q", "me", 10, [row.id for row in taken])
    assert store.depth("q", taken=True) == 0


def test_an_owner_whose_lease_ended_can_finish_nothing(
    store: MessageStore, clock: FakeClock
) -> None:
    store.renew("frozen", 1000)
    store.put("q", b"x", 0)
    taken = store.exchange("q", "frozen", 10, ())
    clock.now += 1001
    assert store.renew("other", 1000) == ["q"]
    store.exchange("q", "frozen", 0, [row.id for row in taken])
    assert [row.data for row in store.exchange("q", "other", 10, ())] == [b"x"]


def test_a_suspect_is_charged_when_it_ran_and_not_when_it_was_only_fetched(
    store: MessageStore, clock: FakeClock
) -> None:
    def take(owner: str) -> TakenMessage:
        clock.now += 1001
        store.renew(owner, 1000)
        (taken,) = store.exchange("q", owner, 10, ())
        return taken

    store.put("q", b"x", 0)
    assert take("first").crashes is None
    assert take("second").crashes == 0
    third = take("third")
    assert third.crashes == 0, "it had been fetched"
    assert store.start(third.id, "third")
    store.give_back([third.id], "third")
    assert take("fourth").crashes == 0, "it had been given back"
    assert store.start(third.id, "fourth")
    store.leave("fourth")
    assert take("fifth").crashes == 0, "who leaves in order did not die"
    assert store.start(third.id, "fifth")
    assert take("sixth").crashes == 1
    assert not store.start(third.id, "fifth"), "another one has it"
    store.move_to_dead([third.id], "sixth", "no")
    (letter,) = store.dead_messages(10)
    assert store.replay_message(letter, letter.data)
    assert take("seventh").crashes is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_version_gets_what_it_lacks_and_keeps_its_messages(
    settings: EmbeddedSettings, clock: FakeClock, version: int
) -> None:
    later = [*(_CRASHES if version < 2 else ()), *_PRIORITIES]
    with sqlite3.connect(settings.messages_path) as old:
        for statement in _SCHEMA:
            if statement not in later:
                old.execute(statement)
        old.execute("CREATE INDEX messages_waiting ON messages (queue, due, id)")
        old.execute(f"PRAGMA user_version = {version}")
        old.execute("INSERT INTO messages (queue, due, data) VALUES ('q', 1, x'61')")
    with closing(MessageStore(settings, clock)) as store, closing(MessageStore(settings)) as other:
        assert [row.data for row in store.exchange("q", "me", 10, ())] == [b"a"]
        assert other.depth("q", taken=True) == 1
        # A process of that version goes on beside those of this one.
        old.execute("INSERT INTO messages (queue, due, data) VALUES ('q', 1, x'62')")
        old.commit()
        assert [row.data for row in other.exchange("q", "other", 10, ())] == [b"b"]
    old.close()


def test_dead_messages_are_kept_for_their_time(
    store: MessageStore, clock: FakeClock, settings: EmbeddedSettings
) -> None:
    store.put("q", b"x", 0)
    (row,) = store.exchange("q", "me", 10, ())
    store.move_to_dead([row.id], "me", "ValueError")
    assert [(each.queue, each.reason, each.data) for each in store.dead_messages(10)] == [
        ("q", "ValueError", b"x")
    ]
    clock.now += int(settings.keep_dead_messages * 1000)
    store.renew("me", 1000)
    assert store.dead_messages(10) == []


def test_a_file_of_another_version_is_refused(
    store: MessageStore, settings: EmbeddedSettings
) -> None:
    store.ping()
    with sqlite3.connect(settings.messages_path) as foreign:
        foreign.execute("PRAGMA user_version = 99")
    foreign.close()
    newer = MessageStore(settings)
    with pytest.raises(StorageError, match="another version"):
        newer.put("q", b"x", 0)
    newer.close()


def test_sending_inside_a_transaction_of_the_service_database_waits_for_nothing(
    settings: EmbeddedSettings,
) -> None:
    from rolehost_embedded.database import EmbeddedDatabase

    database, queue = EmbeddedDatabase(settings), EmbeddedQueue(settings)
    broker = queue.broker()
    broker.declare_queue("q")
    with database.session(), database.transaction():
        broker.enqueue(dramatiq.Message("q", "actor", (), {}, {}))
    assert queue.depth("q") == 1
    queue.close()
    database.close()


@pytest.fixture
def broker(store: MessageStore, settings: EmbeddedSettings) -> Iterator[EmbeddedBroker]:
    wakes = Wakes(settings.path)
    broker = EmbeddedBroker(store, wakes, lease=60)
    broker.declare_queue("q")
    yield broker
    broker.close()
    wakes.close()


def _send(broker: EmbeddedBroker, count: int) -> None:
    for number in range(count):
        broker.enqueue(dramatiq.Message("q", "actor", (number,), {}, {}))


def test_a_consumer_hands_out_no_more_than_was_asked_for(broker: EmbeddedBroker) -> None:
    _send(broker, 5)
    consumer = broker.consume("q", prefetch=2, timeout=10)
    first, second = next(consumer), next(consumer)
    assert (first.args, second.args) == ((0,), (1,))
    assert next(consumer) is None
    consumer.ack(first)
    third = next(consumer)
    assert third.args == (2,)
    consumer.requeue([second, third])
    consumer.close()
    assert broker.store.depth("q") == 4


def test_an_acknowledgement_wakes_a_consumer_that_has_no_place_left(
    broker: EmbeddedBroker,
) -> None:
    _send(broker, 2)
    consumer = broker.consume("q", prefetch=1, timeout=20_000)
    first = next(consumer)
    timer = threading.Timer(0.02, consumer.ack, (first,))
    timer.start()
    assert next(consumer).args == (1,)
    timer.join()
    consumer.close()


def test_after_its_lease_ended_a_consumer_hands_out_nothing_it_had_taken(
    broker: EmbeddedBroker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _send(broker, 3)
    consumer = broker.consume("q", prefetch=5, timeout=10)
    assert next(consumer).args == (0,)
    clock.now += 60_001
    broker.store.renew("another process", 60_000)
    others = broker.store.exchange("q", "another process", 10, ())
    assert len(others) == 3
    monkeypatch.setattr(broker, "_renewed", float("-inf"))
    assert next(consumer) is None
    consumer.close()


def test_what_nobody_took_when_the_lease_ended_is_handed_out_later(
    broker: EmbeddedBroker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _send(broker, 3)
    consumer = broker.consume("q", prefetch=5, timeout=20_000)
    assert next(consumer).args == (0,)
    clock.now += 60_001
    monkeypatch.setattr(broker, "_renewed", float("-inf"))
    assert [next(consumer).args for _ in range(2)] == [(1,), (2,)]
    consumer.close()


def test_undeclared_queues_and_late_joins_are_told(broker: EmbeddedBroker) -> None:
    with pytest.raises(QueueNotFound):
        broker.consume("nowhere")
    _send(broker, 1)
    with pytest.raises(QueueJoinTimeout):
        broker.join("q", timeout=1)
    broker.flush_all()
    broker.join("q", timeout=1)
