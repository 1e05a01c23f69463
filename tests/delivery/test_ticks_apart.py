"""Schedules stand apart, follow the clocks where they change, and outlive a wrong clock."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rolehost.api import Schedule, StorageUnavailable, actor
from rolehost.delivery import cron as cron_module
from rolehost.delivery import ticks
from rolehost.delivery.cron import following, latest
from rolehost.delivery.ticks import Ticker

MINUTE, HOUR, YEAR = 60_000, 3_600_000, 365 * 86_400_000


@actor(name="shop.tidy")
def tidy(context, depth: int = 1):
    pass


@pytest.fixture
def ticker(bench):
    bench.make_runtime(tidy)
    bench.clock.at = 1_700_000_000_000 // MINUTE * MINUTE

    def make(*schedules, owner="me"):
        return Ticker(bench.runtime, schedules, owner, 15)

    return make


def every(name, each=tidy, **fields):
    return Schedule(name=name, actor=each, every=60.0, **fields)


def row(bench, name):
    columns = "last_tick, failures, failed_at, error, set_back_at, set_back_from"
    with bench.database.session():
        found = bench.database.read(
            f"SELECT {columns} FROM rolehost_ticks WHERE schedule = ?", (name,)
        )
    return dict(zip(columns.split(", "), found[0], strict=True))


def enqueued(bench):
    with bench.database.session():
        rows = bench.database.read("SELECT arguments FROM rolehost_jobs ORDER BY id")
    return [bytes(each[0]).decode() for each in rows]


@pytest.mark.parametrize(
    "bad",
    [
        every("bad", "shop.unknown"),
        every("bad", arguments={"depth": "deep"}),
        every("bad", arguments={"depht": 1}),
        Schedule(name="bad", actor=tidy, cron="* * * * *", timezone="Europe/Atlantis"),
        Schedule(name="bad", actor=tidy, cron="not a cron"),
        Schedule(name="bad", actor=tidy, cron="0 0 30 2 *"),
    ],
    ids=["actor", "types", "names", "time zone", "expression", "never"],
)
def test_a_schedule_that_fails_stops_no_other_and_is_recorded(bench, ticker, bad):
    ticking = ticker(every("before"), bad, every("after"))
    ticking.step()
    for _ in range(3):
        bench.clock.forward(60)
        assert ticking.step() == 60
    assert enqueued(bench) == ["{}"] * 6
    failed = row(bench, "bad")
    assert failed["failures"] == (3 if bad.every else 1)
    assert failed["error"]
    assert row(bench, "before")["failures"] == 0
    assert row(bench, "after")["error"] is None


def test_each_failed_occurrence_is_one_line_with_the_name(bench, ticker, monkeypatch):
    lines = []
    monkeypatch.setattr(ticks.log, "error", lambda event, **fields: lines.append((event, fields)))
    ticking = ticker(every("bad", "shop.unknown"))
    ticking.step()
    for _ in range(2):
        bench.clock.forward(60)
        ticking.step()
        ticking.step()
    assert [(event, fields["schedule"]) for event, fields in lines] == [
        ("schedule failed", "bad"),
        ("schedule failed", "bad"),
    ]
    assert "shop.unknown" in lines[0][1]["error"]


def test_a_schedule_that_is_right_again_ticks_without_making_up_for_failures(bench, ticker):
    wrong = ticker(every("tidy", arguments={"depth": "deep"}))
    wrong.step()
    bench.clock.forward(60)
    wrong.step()
    right = ticker(every("tidy", arguments={"depth": 2}))
    right.step()
    assert enqueued(bench) == []
    bench.clock.forward(60)
    right.step()
    assert enqueued(bench) == ['{"depth":2}']


def test_an_unavailable_database_is_not_a_failure_of_a_schedule(bench, ticker, monkeypatch):
    ticking = ticker(every("tidy"))
    ticking.step()
    bench.clock.forward(60)

    def away(*_, **__):
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(bench.runtime.ledger, "insert", away)
        with pytest.raises(StorageUnavailable):
            ticking.step()
    ticking.step()
    assert enqueued(bench) == ["{}"]


def test_a_last_tick_far_ahead_of_the_clock_is_set_back_and_recorded(bench, ticker):
    now = bench.clock.at
    ticking = ticker(every("tidy"))
    bench.clock.at = now + YEAR
    ticking.step()
    bench.clock.forward(60)
    ticking.step()
    ahead = row(bench, "tidy")["last_tick"]
    bench.clock.at = now
    assert ticking.step() == 60
    assert len(enqueued(bench)) == 1, "nothing is made up for"
    bench.clock.forward(60)
    ticking.step()
    assert len(enqueued(bench)) == 2
    found = row(bench, "tidy")
    assert (found["set_back_at"], found["set_back_from"]) == (now, ahead)


def test_a_last_tick_a_little_ahead_of_the_clock_is_waited_for(bench, ticker):
    ticking = ticker(every("tidy"))
    ticking.step()
    bench.clock.forward(60)
    ticking.step()
    bench.clock.forward(-30)
    ticking.step()
    assert row(bench, "tidy")["set_back_at"] is None
    bench.clock.forward(30)
    ticking.step()
    assert len(enqueued(bench)) == 1, "the same tick is not made twice"


def test_a_lease_that_ends_far_ahead_of_the_clock_is_over(bench, ticker):
    now = bench.clock.at
    bench.clock.at = now + YEAR
    assert ticker(owner="lost").lead()
    bench.clock.at = now
    assert ticker(owner="me").lead()
    assert not ticker(owner="other").lead()


ZONES = [
    "Europe/Vienna",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
]
CRONS = [
    "30 2 * * *",
    "*/5 * * * *",
    "0 * * * *",
    "*/20 2 * * *",
    "15,45 1-3 * * *",
    "0 3 * * 0",
    "5 */2 * * *",
    "0 0 * * *",
]


def changes(zone):
    """Yield the moments of one year at which the clocks of a zone change."""
    moment, year = datetime(2011, 1, 1, tzinfo=UTC), timedelta(days=365)
    end = moment + year
    while moment < end:
        before = moment.astimezone(ZoneInfo(zone)).utcoffset()
        moment += timedelta(hours=1)
        if moment.astimezone(ZoneInfo(zone)).utcoffset() != before:
            yield int(moment.timestamp() * 1000)


@pytest.mark.parametrize("zone", ZONES)
def test_ticks_ascend_across_clock_changes(zone):
    for at, cron in itertools.product(changes(zone), CRONS):
        schedule = Schedule(name="s", actor="a", cron=cron, timezone=zone)
        walked, moment = [], at - 6 * HOUR
        while moment < at + 6 * HOUR:
            following_tick = following(schedule, moment)
            assert following_tick > moment
            walked.append(following_tick)
            moment = following_tick
        for moment in range(at - 3 * HOUR, at + 3 * HOUR, 17 * MINUTE):
            later = [tick for tick in walked if tick > moment]
            assert following(schedule, moment) == later[0]
            before = [tick for tick in walked if tick <= moment]
            assert list(latest(schedule, at - 6 * HOUR, moment)) == before[-1:]
            assert list(latest(schedule, at - 6 * HOUR, moment, 7)) == before[-7:]


def local(text, zone="Europe/Vienna"):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_a_fixed_time_ticks_once_in_the_repeated_hour_and_after_the_missing_one():
    nightly = Schedule(name="s", actor="a", cron="30 2 * * *", timezone="Europe/Vienna")
    first = local("2026-10-25T02:30:00")
    assert following(nightly, local("2026-10-25T00:00:00")) == first
    for minutes in (1, 35, 60, 89):  # through the repeated hour
        assert following(nightly, first + minutes * MINUTE) == local("2026-10-26T02:30:00")
    assert following(nightly, local("2026-03-29T00:00:00")) == local("2026-03-29T03:00:00")


def test_a_wildcard_follows_the_real_time_where_clocks_change():
    often = Schedule(name="s", actor="a", cron="*/30 * * * *", timezone="Europe/Vienna")
    start = local("2026-10-25T01:00:00")
    found = list(
        itertools.takewhile(lambda tick: tick <= start + 4 * HOUR, cron_module._ticks(often, start))
    )
    assert found == [start + half * HOUR // 2 for half in range(1, 9)]


@pytest.mark.parametrize(
    "cron", ["* * * * *", "* * 1 1 *", "0 0 29 2 *", "*/5 9-17 * * 1-5", "0 0 1 */6 *"]
)
def test_any_distance_is_caught_up_at_the_same_cost(cron, monkeypatch):
    schedule = Schedule(name="s", actor="a", cron=cron, timezone="Europe/Vienna")
    steps = 0
    walk = cron_module._ticks

    def counted(*arguments):
        nonlocal steps
        for tick in walk(*arguments):
            steps += 1
            yield tick

    monkeypatch.setattr(cron_module, "_ticks", counted)
    now = 1_790_000_000_000
    (found,) = latest(schedule, 0, now)
    assert steps < 3000
    assert following(schedule, found) > now


@pytest.mark.parametrize(
    "fields",
    [
        {"every": math.nan},
        {"every": math.inf},
        {"every": 0.0001},
        {"every": "60"},
        {"every": 60, "missed": "some"},
        {"every": 60, "arguments": [1]},
        {"cron": 5},
        {"cron": "* * * * *", "timezone": None},
        {"every": 60, "name": ""},
        {"every": 60, "actor": None},
    ],
)
def test_a_schedule_is_checked_where_it_is_made(fields):
    with pytest.raises((TypeError, ValueError)):
        Schedule(**{"name": "s", "actor": tidy, **fields})
