"""Schedules: at most one job per tick, missed ticks as declared."""

from __future__ import annotations

import pytest
from rolehost.api import Schedule, actor
from rolehost.delivery import cron
from rolehost.delivery.cron import following, latest
from rolehost.delivery.ticks import Ticker

MINUTE = 60_000


@actor()
def tidy(context, depth: int = 1):
    pass


def ticker(bench, **schedule):
    runtime = bench.make_runtime(tidy)
    bench.clock.at = 1_700_000_000_000 // MINUTE * MINUTE
    return Ticker(runtime, [Schedule(name="tidy", actor=tidy, **schedule)], "me", 15)


@pytest.mark.parametrize("when", [{"every": 60.0}, {"cron": "* * * * *"}])
def test_each_tick_enqueues_one_job(bench, when):
    ticks = ticker(bench, arguments={"depth": 2}, **when)
    assert ticks.step() == 60
    assert bench.count("rolehost_jobs") == 0, "a new schedule has missed nothing"
    bench.clock.forward(60)
    ticks.step()
    ticks.step()
    assert bench.count("rolehost_jobs") == 1
    bench.clock.forward(30)
    assert ticks.step() == 30


def test_the_ticks_of_an_unchanged_schedule_are_computed_once_between_two_ticks(bench, monkeypatch):
    ticks = ticker(bench, cron="* * * * *")
    computed = []
    following = cron.following
    monkeypatch.setattr(
        cron, "following", lambda *each: computed.append(each[1]) or following(*each)
    )
    ticks.step()  # inserts the row
    for _ in range(50):
        ticks.step()
        bench.clock.forward(1)
    assert len(computed) == 2
    bench.clock.forward(-40)  # a clock that is set back
    assert ticks.step() == 50
    bench.clock.forward(50)
    ticks.step()
    assert bench.count("rolehost_jobs") == 1


def test_another_leader_does_not_repeat_a_tick(bench):
    ticks = ticker(bench, every=60.0)
    ticks.step()
    bench.clock.forward(60)
    ticks.step()
    Ticker(bench.runtime, [Schedule(name="tidy", actor=tidy, every=60.0)], "other", 15).step()
    assert bench.count("rolehost_jobs") == 1


@pytest.mark.parametrize("when", [{"every": 60.0}, {"cron": "* * * * *"}])
@pytest.mark.parametrize(
    ("policy", "jobs"),
    [
        ({"missed": "once"}, 1),
        ({"missed": "skip"}, 0),
        ({"missed": "all"}, 10),
        ({"missed": "all", "missed_limit": 3}, 3),
    ],
)
def test_missed_ticks_have_as_many_jobs_as_the_policy_says(bench, policy, jobs, when):
    ticks = ticker(bench, **policy, **when)
    ticks.step()
    bench.clock.forward(60 * 10 + 30)
    ticks.step()
    ticks.step()
    assert bench.count("rolehost_jobs") == jobs


def test_one_of_two_schedulers_leads(bench):
    first = ticker(bench, every=60.0)
    second = Ticker(bench.runtime, [], "other", 15)
    assert first.lead()
    assert not second.lead()
    bench.clock.forward(16)
    assert second.lead()


def test_cron_follows_its_time_zone():
    berlin = Schedule(name="s", actor="a", cron="0 3 * * *", timezone="Europe/Berlin")
    winter = 1_767_225_600_000  # 2026-01-01T00:00:00Z
    assert following(berlin, winter) == winter + 2 * 3_600_000
    assert list(latest(berlin, winter, winter + 3_600_000)) == []
