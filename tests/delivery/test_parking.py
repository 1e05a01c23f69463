"""Parked events: order of a key, retries, claims, too many of them, outages."""

from __future__ import annotations

import threading

import pytest
from rolehost.api import RetryPolicy, handler
from rolehost.delivery import deadletters, parking
from rolehost.delivery.coroutines import Stopping
from rolehost.delivery.handling import Handling
from rolehost.delivery.parking import Parking

from tests.delivery.test_events import deliver, record_of
from tests.delivery.things import Thing


class Member:
    """A member of a group with one handler, which fails for the numbers in ``bad``."""

    def __init__(self, bench, services_of, name="me", wait=lambda _seconds: False, **options):
        self.bench = bench
        self.bad: set[int] = set()
        self.calls: list[tuple[int, int]] = []
        self.error: type[BaseException] = ValueError
        self.parking = Parking(bench.runtime, "g", name, lambda _seconds: None)
        policy = {"retry": RetryPolicy(attempts=3, delays=(1.0,), jitter=0.0), **options}
        self.handling = Handling(
            bench.runtime,
            services_of(bench.runtime),
            handler(topic="things", group="g", name="on", **policy)(self._on),
            wait,
            self.parking,
        )

    def _on(self, context, given):
        for event in given if isinstance(given, list) else [given]:
            number = int(event.data)
            self.calls.append((number, context.attempt))
            with context.services.unit_of_work():
                Thing.create(id=str(number))
            if number in self.bad:
                raise self.error

    def record(self, number, key="k"):
        record = record_of(self.bench, b"%d" % number, id=f"e{number}", key=key)
        return deliver(record, number)

    def handle(self, *numbers, key="k", suspect=False):
        return [self.handling.handle(self.record(n, key), suspect=suspect) for n in numbers]

    def claim(self):
        with self.bench.database.session():
            return self.parking.claim(["things"])

    def retry(self):
        """Handle the events of the lane that is due until one fails; False if none is due."""
        claim = self.claim()
        if claim is None:
            return False
        while self.handling.handle_parked(claim):
            pass
        self.parking.forget(claim)
        return True

    @property
    def parked(self):
        with self.bench.database.session():
            return parking.count(self.bench.database)


@pytest.fixture
def member(bench, services_of, things):
    bench.make_runtime()
    return Member(bench, services_of)


def test_a_failed_event_is_parked_with_later_events_of_its_key_and_no_others(member, things):
    member.bad = {1}
    assert member.handle(0, 1, 2, 3) == ["handled", "parked", "parked", "parked"]
    assert member.handle(4, key="other") == ["handled"]
    assert (things(), member.parked) == (["0", "4"], 3)
    assert member.calls == [(0, 1), (1, 1), (4, 1)]


def test_parked_events_are_retried_in_their_order_when_they_are_due(bench, member, things):
    member.bad = {1}
    member.handle(1, 2, 3)
    assert not member.retry(), "not before its delay"
    bench.clock.forward(1)
    assert member.retry()
    assert not member.retry()
    member.bad = set()
    bench.clock.forward(1)
    assert member.retry()
    assert member.calls == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]
    assert (things(), member.parked) == (["1", "2", "3"], 0)
    assert bench.count("rolehost_parked_keys") == 0
    assert member.handle(4) == ["handled"]


def test_after_its_last_attempt_a_parked_event_is_a_dead_letter_and_the_next_follows(
    bench, member, things
):
    member.bad = {1}
    member.handle(1, 2)
    for _ in range(2):
        bench.clock.forward(1)
        assert member.retry()
    assert member.calls == [(1, 1), (1, 2), (1, 3), (2, 1)]
    with bench.database.session():
        [letter] = deadletters.listing(bench.database)
    assert (letter.error, letter.origin) == ("ValueError: ", "things/0/1")
    assert (things(), member.parked) == (["2"], 0)


def test_a_fatal_error_of_a_parked_event_is_its_last_attempt(bench, services_of, things):
    bench.make_runtime()
    member = Member(
        bench, services_of, retry=RetryPolicy(attempts=9, delays=(0.0,), fatal=(KeyError,))
    )
    member.bad = {1}
    member.handle(1)
    member.error = KeyError
    assert member.retry()
    assert (bench.count("rolehost_dead_events"), member.parked) == (1, 0)


def test_an_event_that_is_read_again_is_parked_once(member):
    member.bad = {1}
    member.handle(1, 2)
    assert member.handle(1, 2) == ["parked", "parked"]
    assert member.parked == 2


def test_events_without_a_key_are_parked_alone(bench, member, services_of, things):
    member.bad = {1}
    assert member.handle(1, 2, key=None) == ["parked", "handled"]
    other = Member(bench, services_of, "other")
    assert other.handle(1, key=None) == ["parked"], "it is read again"
    assert (member.calls, other.calls) == ([(1, 1), (2, 1)], [])
    member.bad = set()
    bench.clock.forward(1)
    assert member.retry()
    assert (things(), member.parked) == (["1", "2"], 0)


def test_a_new_member_knows_what_another_parked_and_learns_what_another_retried(
    bench, member, services_of, things
):
    member.bad = {1}
    member.handle(1)
    other = Member(bench, services_of, "other")
    assert other.handle(2) == ["parked"]
    member.bad = set()
    bench.clock.forward(1)
    assert member.retry()
    assert other.handle(3) == ["handled"]
    assert things() == ["1", "2", "3"]
    assert not other.parking.lanes


def test_a_lane_is_claimed_by_one_process_until_that_process_is_gone(bench, member, services_of):
    other = Member(bench, services_of, "other")
    member.bad = {1}
    member.handle(1)
    bench.clock.forward(1)
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(
            "INSERT INTO rolehost_processes (id, deployment, role, slot, incarnation, host, pid,"
            " started_at, expires_at) VALUES ('me', 'd', 'consumer', 0, 1, 'h', 1, 0, 0)"
        )
    lost = member.claim()
    assert other.claim() is None
    assert member.claim() is None
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("DELETE FROM rolehost_processes")
    other.bad = {1}
    assert other.retry()
    assert other.calls == [(1, 2)]
    member.bad = set()
    assert not member.handling.handle_parked(lost), "the token of its claim is old"
    assert member.calls == [(1, 1), (1, 2)]
    assert (bench.count("rolehost_inbox"), member.parked) == (0, 1)


def test_a_claim_that_the_process_does_not_know_is_made_again(bench, member):
    member.bad = {1}
    member.handle(1)
    bench.clock.forward(1)
    unknown = member.claim()
    member.parking.forget(unknown)  # as if the connection had failed at the commit
    again = member.claim()
    assert again is not None
    assert again.token != unknown.token


def test_a_parked_event_that_kills_its_processes_becomes_a_dead_letter(bench, services_of, things):
    bench.make_runtime()
    first = Member(bench, services_of, "first", max_crashes=2)
    first.bad = {1}
    first.handle(1)
    bench.clock.forward(1)
    assert first.claim() is not None  # and dies; its start was not recorded

    class Killed(BaseException):
        """Ends a simulated process, without any write."""

    def dies():
        raise Killed

    for name in ("second", "third"):
        member = Member(bench, services_of, name, max_crashes=2)
        claim = member.claim()
        assert claim.suspect
        member.handling._once = lambda _delivery: dies()
        member.handling._write = _writes_once(member.handling._write)
        with pytest.raises(Killed):
            member.handling.handle_parked(claim)
    last = Member(bench, services_of, "last", max_crashes=2)
    assert last.retry()
    assert last.calls == []
    with bench.database.session():
        [letter] = deadletters.listing(bench.database)
    assert letter.error == "its process died 2 times while handling it"


def _writes_once(write):
    """The first write is made; a process that died makes no others."""
    left = [write, lambda _call: None]
    return lambda call: left.pop(0)(call)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_guilty_event_of_a_batch_or_group_is_parked_and_the_others_are_handled(
    bench, services_of, things, grouped
):
    bench.make_runtime()
    member = Member(bench, services_of, **({"grouped": True} if grouped else {"batch": 10}))

    def go(*numbers):
        records = [member.record(n, key) for n, key in numbers]
        if not grouped:
            return member.handling.handle_batch(records)
        done = member.handling.handle_group(records)
        return [
            "handled" if each else member.handling.handle(record, suspect=False)
            for record, each in zip(records, done, strict=True)
        ]

    member.bad = {2}
    assert go((1, "a"), (2, "b"), (3, "a"), (4, "b")) == [
        "handled", "parked", "handled", "parked",
    ]  # fmt: skip
    assert go((5, "b"), (6, "a")) == ["parked", "handled"]
    assert things() == ["1", "3", "6"]
    member.bad = set()
    bench.clock.forward(1)
    assert member.retry()
    assert (things(), member.parked) == (["1", "2", "3", "4", "5", "6"], 0)


def test_a_handler_without_a_unit_of_work_is_retried_too(bench, services_of):
    bench.make_runtime()
    member = Member(bench, services_of)
    tries = []

    def on(context, event):
        tries.append(context.attempt)
        if context.attempt < 3:
            raise ValueError

    member.handling._handler = handler(topic="things", group="g", retry=RetryPolicy(attempts=3))(on)
    member.handle(1)
    for _ in range(2):
        bench.clock.forward(60)
        assert member.retry()
    assert (tries, member.parked, bench.count("rolehost_dead_events")) == ([1, 2, 3], 0, 0)


def test_from_too_many_on_a_failed_event_is_retried_in_place(
    bench, services_of, things, monkeypatch
):
    bench.make_runtime()
    member = Member(bench, services_of, wait=lambda _seconds: member.bad.clear())
    monkeypatch.setattr(parking, "MOST_PARKED", 1)
    member.bad = {1}
    member.handle(1)
    with bench.database.session():
        member.parking.due_in(["things"])
    assert member.parking.full
    member.bad = {2}
    assert member.handle(2, key="other") == ["handled"]
    assert member.calls == [(1, 1), (2, 1), (2, 2)]

    def makes_room(_seconds):
        bench.clock.forward(10)
        assert member.retry()

    member.handling._wait = makes_room
    assert member.handle(3) == ["handled"], "it waits while its lane has parked events"
    assert things() == ["1", "2", "3"]


def test_without_the_service_database_nothing_is_parked_and_nothing_counted(
    bench, services_of, database_away
):
    bench.make_runtime()
    waits = []

    def wait(seconds):
        waits.append(seconds)
        return len(waits) == 3

    member = Member(bench, services_of, wait=wait)

    def on(context, event):
        with database_away():
            bench.database.read("SELECT 1")

    member.handling._handler = handler(topic="things", group="g")(on)
    with pytest.raises(Stopping):
        member.handle(1)
    assert (waits, member.parked) == ([1.0] * 3, 0)


def test_a_replay_that_fails_is_parked_and_stays_one_dead_letter(bench, member, things):
    member.bad = {1}
    member.handle(1)
    for _ in range(2):
        bench.clock.forward(1)
        member.retry()

    def replays():
        with bench.database.session():
            return deadletters.events_to_replay(bench.database, "g", 10)

    def replay():
        with bench.database.session(), bench.database.transaction() as tx:
            deadletters.replay(tx, "event:1", bench.clock.now())
        [(_, _, record)] = replays()
        return member.handling.handle(record, suspect=True, alone=True)

    assert replay() == "parked"
    assert replays() == []
    assert member.handle(2) == ["handled"], "a replay is not in the order of its key"
    for _ in range(2):
        bench.clock.forward(1)
        member.retry()
    with bench.database.session():
        rows = bench.database.read("SELECT id, state, deaths FROM rolehost_dead_events")
    assert rows == [(1, "dead", 2)]
    replay()
    member.bad = set()
    bench.clock.forward(1)
    member.retry()
    assert (bench.count("rolehost_dead_events"), things()) == (0, ["1", "2"])


def test_lanes_that_have_ended_are_forgotten(bench, member, things):
    member.bad = {1, 2}
    for number in (1, 2):
        member.handle(number, key=f"k{number}")
    member.handle(3, key=None)
    assert len(member.parking.lanes) == 2
    with bench.database.session():
        member.parking.due_in(["things"])
    assert len(member.parking.lanes) == 2
    member.bad = set()
    bench.clock.forward(10)
    while member.retry():
        pass
    with bench.database.session():
        assert member.parking.due_in(["things"]) == (None, False)
    assert not member.parking.lanes


def test_no_lane_is_looked_for_while_the_group_has_no_parked_events(bench, member, monkeypatch):
    member.handle(0)
    monkeypatch.setattr(Parking, "join", None)
    monkeypatch.setattr(Parking, "load", None)
    assert member.handle(1, 2) == ["handled", "handled"]


def test_an_event_that_joins_while_the_lane_ends_is_not_left_behind(postgres, services_of, things):
    bench = postgres
    bench.make_runtime()
    member = Member(bench, services_of)
    member.bad = {1}
    member.handle(1)
    member.bad = set()
    bench.clock.forward(1)
    joined = []

    advance = member.parking.advance

    def joining(tx, *arguments, **options):
        ours = advance(tx, *arguments, **options)
        thread = threading.Thread(target=lambda: joined.extend(member.handle(2)))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive(), "it waits for the end of the lane"
        joined.append(thread)
        return ours

    member.parking.advance = joining
    member.retry()
    joined[0].join(10)
    assert joined[1:] == ["handled"]
    assert bench.count("rolehost_parked_events") == bench.count("rolehost_parked_keys") == 0
