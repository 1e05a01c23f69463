from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from random import Random

import pytest
from msgspec.structs import replace
from rolehost import schema
from rolehost.api import Record, StorageError, StorageUnavailable
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_embedded.stream import EmbeddedStream
from rolehost_testing.conformance.stream import Reader

TOPIC = "conformance"
Open = Callable[..., EmbeddedStream]


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def opened(settings: EmbeddedSettings, clock: FakeClock) -> Iterator[Open]:
    database = EmbeddedDatabase(settings)
    schema.up(database, [("embedded", "rolehost_embedded.migrations")])
    database.close()
    streams = []

    def make(**changes: object) -> EmbeddedStream:
        # Leases are long, so that only the fake clock ends them.
        stream = EmbeddedStream(replace(settings, **{"member_lease": 60.0, **changes}), clock)
        streams.append(stream)
        return stream

    yield make
    for stream in streams:
        stream.close()


def _publish(stream: EmbeddedStream, count: int) -> None:
    stream.publish([Record(topic=TOPIC, value=b"%d" % number) for number in range(count)])


def test_tables_that_were_emptied_are_filled_again(opened: Open, clock: FakeClock) -> None:
    stream = opened()
    _publish(stream, 3)
    reader = Reader(stream)
    reader.read(3)
    database = EmbeddedDatabase(stream._settings)
    with database.session(), database.transaction() as transaction:
        for (table,) in database.read(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'embedded_%'"
            " ORDER BY name = 'embedded_topics'"
        ):
            transaction.execute(f"DELETE FROM {table}")
        # Ids are not given again to other topics here, where nobody else makes one.
        transaction.execute("INSERT INTO embedded_topics VALUES (77, 'other', 1)")
    _publish(stream, 2)
    clock.now += 100_000
    reader.subscription._report_at = 0.0
    assert reader.read(5)[3:]
    reader.commit()
    assert stream.lag([TOPIC], "group") == 0
    database.close()


def test_missing_tables_make_no_dead_letters(settings: EmbeddedSettings) -> None:
    stream = EmbeddedStream(settings)
    (error,) = stream.publish_each([Record(topic=TOPIC, value=b"")])
    assert isinstance(error, StorageUnavailable)
    stream.close()


def test_a_header_name_that_is_not_utf_8_comes_back_as_it_was(opened: Open) -> None:
    stream = opened()
    headers = (("ok", b"1"), ("na\udcffme", b"\xff"), ("ok", b"2"))
    stream.publish([Record(TOPIC, b"bad", headers=headers), Record(TOPIC, b"good")])
    found = {each.value: each.headers for each in Reader(stream).read(2)}
    assert found == {b"bad": headers, b"good": ()}


def test_without_its_tables_it_says_what_to_run(settings: EmbeddedSettings) -> None:
    stream = EmbeddedStream(settings)
    with pytest.raises(StorageError, match="rolehost migrate up"):
        _publish(stream, 1)
    stream.close()


def test_a_topic_keeps_the_partitions_it_was_made_with(opened: Open) -> None:
    few, many = opened(partitions=2), opened(partitions=8)
    _publish(few, 20)
    _publish(many, 20)
    reader = Reader(many)
    assert {record.partition.number for record in reader.read(40)} == {0, 1}


def test_old_records_are_dropped(opened: Open, clock: FakeClock) -> None:
    stream = opened(keep_records=10.0)
    _publish(stream, 20)
    clock.now += 9_000
    _publish(stream, 5)
    assert stream.trim() == 0
    clock.now += 2_000
    assert stream.trim() == 20
    assert stream.lag([TOPIC], "group") == 5
    assert len(Reader(stream).read(5)) == 5


def test_records_beyond_the_count_are_dropped_from_each_partition(opened: Open) -> None:
    stream = opened(keep_records_count=3, partitions=2)
    _publish(stream, 20)
    assert stream.trim() == 14
    assert stream.lag([TOPIC], "group") == 6


def test_many_records_are_trimmed_in_batches(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolehost_embedded.topics._TRIM_BATCH", 7)
    stream = opened(keep_records_count=1, partitions=1)
    _publish(stream, 50)
    assert stream.trim() == 49


@pytest.mark.parametrize("members", [1, 2, 3, 5, 8, 11])
def test_partitions_are_shared_evenly(opened: Open, members: int) -> None:
    stream = opened(partitions=8)
    readers = [Reader(stream) for _ in range(members)]
    for _ in range(3):
        for reader in readers:
            reader.subscription.poll(0, 1)
            reader.subscription._report_at = float("-inf")
    owned = [sorted(reader.owned) for reader in readers]
    assert sorted(itertools.chain.from_iterable(owned)) == [(TOPIC, n) for n in range(8)]
    assert max(map(len, owned)) - min(map(len, owned)) <= 1


def test_a_newcomer_takes_no_more_than_it_needs(opened: Open) -> None:
    stream = opened(partitions=8)
    readers = [Reader(stream) for _ in range(2)]
    readers[0].until(lambda: all(len(reader.owned) == 4 for reader in readers), readers[1])
    before = [set(reader.owned) for reader in readers]
    late = Reader(stream)
    everyone = [*readers, late]
    readers[0].until(lambda: sorted(len(one.owned) for one in everyone) == [2, 3, 3], *everyone[1:])
    assert all(reader.owned <= owned for reader, owned in zip(readers, before, strict=True))


def test_with_many_topics_of_one_partition_every_member_has_work(opened: Open) -> None:
    stream = opened(partitions=1)
    topics = [f"topic-{number}" for number in range(6)]
    readers = [Reader(stream, topics=topics) for _ in range(3)]
    readers[0].until(
        lambda: sum(len(reader.owned) for reader in readers) == 6 and all(r.owned for r in readers),
        *readers[1:],
    )


def test_a_member_that_was_frozen_past_its_lease_commits_nothing_and_is_told(
    opened: Open, clock: FakeClock
) -> None:
    stream = opened()
    _publish(stream, 20)
    frozen = Reader(stream)
    frozen.read(20)
    clock.now += 60_001
    other = Reader(stream)
    other.read(20)
    frozen.commit()
    assert stream.lag([TOPIC], "group") == 20
    frozen.subscription._report_at = float("-inf")
    frozen.step()
    assert frozen.calls[-1][0] == "revoked"
    assert not frozen.owned
    other.until(lambda: bool(frozen.owned) and not frozen.owned & other.owned, frozen)


def test_members_of_different_topics_do_not_take_from_each_other(opened: Open) -> None:
    stream = opened(partitions=4)
    one, two = Reader(stream, topics=["a"]), Reader(stream, topics=["b"])
    one.until(lambda: len(one.owned) == len(two.owned) == 4, two)


def test_unknown_partitions_are_ignored(opened: Open) -> None:
    from rolehost.api import Partition

    reader = Reader(opened())
    reader.step()
    for call in (reader.subscription.pause, reader.subscription.resume):
        call([Partition("elsewhere", 0)])
    reader.subscription.commit({Partition("elsewhere", 0): 1, Partition(TOPIC, 999): 1})


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_members_no_record_is_lost_and_no_partition_has_two_owners(
    opened: Open, clock: FakeClock, seed: int
) -> None:
    random = Random(seed)
    stream = opened(partitions=4)
    readers: list[Reader] = []
    seen: set[bytes] = set()
    published = 0

    def poll(reader: Reader) -> None:
        reader.subscription._report_at = float("-inf")
        seen.update(d.value for d in reader.subscription.poll(0, random.randint(1, 20)))

    for _ in range(80):
        step = random.choice(["join", "leave", "freeze", "publish", "publish", "poll", "poll"])
        if step == "join" and len(readers) < 5:
            readers.append(KeepingUp(stream))
        elif step == "leave" and readers:
            readers.pop(random.randrange(len(readers))).subscription.close()
        elif step == "freeze" and readers:
            frozen = readers.pop(random.randrange(len(readers)))
            clock.now += 60_001
            for reader in readers:
                poll(reader)
            readers.append(frozen)
        elif step == "publish":
            stream.publish([Record(topic=TOPIC, value=b"%d" % published, key=b"%d" % seed)])
            published += 1
        for reader in readers:
            if random.random() < 0.7:
                poll(reader)
                reader.commit_all()
        _check_owners(stream)
    last = KeepingUp(stream)
    for reader in readers:
        reader.subscription.close()
    last.until(lambda: last.commit_all() or stream.lag([TOPIC], "group") == 0)
    seen.update(last.values())
    for reader in readers:
        seen.update(reader.values())
    assert seen == {b"%d" % number for number in range(published)}


class KeepingUp(Reader):
    """Commits up to what it read, of what it owns."""

    def commit_all(self) -> None:
        subscription = self.subscription
        subscription.commit(
            {subscription._partition(p): at for p, at in subscription._positions.items()}
        )


def _check_owners(stream: EmbeddedStream) -> None:
    with stream._database.session():
        claims = stream._database.read(
            "SELECT c.number FROM embedded_claims c JOIN embedded_members m"
            " ON m.group_name = c.group_name AND m.member = c.member"
        )
    numbers = [number for (number,) in claims]
    assert len(numbers) == len(set(numbers))
