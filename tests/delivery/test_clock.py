"""The clock of the service database, whatever a machine's clock says."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from rolehost.api import StorageUnavailable
from rolehost.delivery import clock as clocks
from rolehost.delivery.clock import DatabaseClock
from structlog.testing import capture_logs

SECOND = 1_000_000_000


class World:
    """A machine and a server, whose clocks differ; times in seconds."""

    dialect = "postgresql"

    def __init__(self) -> None:
        self.passed = 0.0
        self.machine = self.server = 1_700_000_000.0
        self.question = self.answer = 0.0  # how long each is on its way
        self.away = False
        self.time = SimpleNamespace(
            monotonic_ns=lambda: int(self.passed * SECOND),
            time_ns=lambda: int((self.machine + self.passed) * SECOND),
        )

    def session(self):
        return nullcontext()

    def read(self, sql):
        if self.away:
            raise StorageUnavailable("away")
        self.passed += self.question
        now = self.server + self.passed
        self.passed += self.answer
        return [(int(now * 1_000_000),)]

    def wrong_by(self, clock) -> float:
        return clock.now() / 1000 - (self.server + self.passed)


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(clocks, "time", world.time)
    return world


@pytest.fixture
def clock(world):
    return DatabaseClock(lambda: world)


def test_the_first_question_for_the_time_asks_the_server(world, clock):
    world.machine += 90
    assert world.wrong_by(clock) == pytest.approx(0, abs=0.002)


def test_a_clock_that_is_set_while_the_process_runs_changes_nothing(world, clock):
    clock.now()
    world.machine -= 86_400
    world.passed += 5
    assert world.wrong_by(clock) == pytest.approx(0, abs=0.002)


def test_an_answer_that_takes_long_shifts_the_clock_by_half_of_that_at_most(world, clock):
    world.question = 4.0
    assert clock.measure() == 0.0
    assert world.wrong_by(clock) == pytest.approx(2, abs=0.002)
    world.question, world.answer = 0.0, 0.01
    assert clock.measure() == pytest.approx(-2, abs=0.02)
    world.answer = 9.0
    assert clock.measure() == 0.0, "the offset is possible for such an answer"
    assert world.wrong_by(clock) == pytest.approx(0, abs=0.02)


def test_a_server_whose_clock_was_set_is_followed_and_told(world, clock):
    clock.measure()
    world.server -= 3600
    assert clock.measure() == pytest.approx(-3600)
    assert world.wrong_by(clock) == pytest.approx(0, abs=0.002)


def test_a_wrong_clock_of_the_machine_is_logged_once_and_again_after_it_was_right(world, clock):
    with capture_logs() as lines:
        for machine in (-90, -90, 0, 90):
            world.machine = world.server + machine
            clock.measure()
    assert [line["behind"] for line in lines] == [90.0, -90.0]


def test_without_an_answer_the_machines_clock_counts_until_there_is_one(world):
    world.machine += 90
    world.away = True
    clock = DatabaseClock(lambda: world)
    assert world.wrong_by(clock) == pytest.approx(90, abs=0.002)
    with pytest.raises(StorageUnavailable):
        clock.measure()
    world.away = False
    clock.measure()
    assert world.wrong_by(clock) == pytest.approx(0, abs=0.002)


def test_both_engines_tell_their_time(database):
    clock = DatabaseClock(lambda: database)
    assert abs(clock.now() - clocks.time.time_ns() // 1_000_000) < 1000
    assert abs(clock.measure()) < 0.1
