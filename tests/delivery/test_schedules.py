"""Overlap, jitter, pauses and changes of schedules."""

from __future__ import annotations

import pytest
from rolehost.api import RetryPolicy, Schedule, actor
from rolehost.delivery import cron, tickstate
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.ticks import Ticker, enqueue

MINUTE = 60_000


@actor(retry=RetryPolicy(attempts=2, base=3600, jitter=0))
def tidy(context):
    if context.attempt == 1 and fails:
        raise ValueError


fails: list[bool] = []


@pytest.fixture
def ticking(bench):
    """Return a function that makes a schedule that ticks each minute, and its ticker."""
    runtime = bench.make_runtime(tidy)
    bench.clock.at = 1_700_000_000_000 // MINUTE * MINUTE

    def make(**fields):
        schedule = Schedule(name="tidy", actor=tidy, **({"every": 60.0} | fields))
        ticks = Ticker(runtime, [schedule], "me", 15)
        ticks.step()
        return schedule, ticks

    yield make
    fails.clear()


def after(bench, ticks, seconds=60):
    bench.clock.forward(seconds)
    return ticks.step()


def state(bench):
    return tickstate.read(bench.database)["tidy"]


def change(bench, function, *arguments):
    with unit_of_work(bench.runtime) as work:
        function(work.transaction, *arguments, bench.clock.now())


def test_jobs_of_ticks_may_overlap_by_default(bench, ticking):
    _, ticks = ticking()
    after(bench, ticks)
    after(bench, ticks)
    assert len(bench.claim()) == 2


def test_a_tick_has_no_job_while_the_job_before_has_not_finished(bench, ticking):
    _, ticks = ticking(overlap="skip")
    fails.append(True)
    after(bench, ticks)
    (job,) = bench.claim()
    after(bench, ticks)  # the job is claimed
    assert bench.run(job) == "retrying"
    after(bench, ticks)  # it waits for its retry
    assert (bench.count("rolehost_jobs"), state(bench).skipped) == (1, 2)
    bench.clock.forward(3600)
    (job,) = bench.claim()
    assert bench.run(job) == "completed"
    after(bench, ticks)
    assert bench.count("rolehost_jobs") == 2
    assert state(bench).last_job == bench.claim()[0].id


def test_queued_jobs_of_a_schedule_run_one_after_the_other(bench, ticking):
    _, ticks = ticking(overlap="queue")
    after(bench, ticks)
    after(bench, ticks)
    (run,) = bench.claim_runs()
    assert len(run) == 2, "one thread runs both, in order"
    after(bench, ticks)
    assert bench.claim("other") == []


@pytest.mark.parametrize("missed", ["once", "all"])
def test_missed_ticks_do_not_overlap_either(bench, ticking, missed):
    _, ticks = ticking(overlap="skip", missed=missed)
    after(bench, ticks, 600)
    assert bench.count("rolehost_jobs") == 1


def test_jitter_delays_each_job_by_another_time_that_all_processes_agree_on(bench, ticking):
    schedule, ticks = ticking(jitter=30.0, missed="all")
    after(bench, ticks, 20 * 60)
    with bench.database.session():
        rows = bench.database.read("SELECT run_at, state FROM rolehost_jobs")
    delays = [at - bench.clock.now() for at, _ in rows]
    assert all(0 <= delay <= 30_000 for delay in delays)
    assert len(set(delays)) == 20
    assert cron.jitter(schedule, 7) == cron.jitter(schedule, 7)


def test_seconds_are_the_first_of_six_fields():
    schedule = Schedule(name="s", actor="a", cron="*/10 * * * * *")
    assert cron.following(schedule, MINUTE + 1) == MINUTE + 10_000
    assert list(cron.latest(schedule, 0, MINUTE, 3)) == [40_000, 50_000, 60_000]


def test_a_paused_schedule_does_not_tick_and_catches_up_on_nothing(bench, ticking):
    _, ticks = ticking(missed="all")
    change(bench, tickstate.pause, "tidy")
    after(bench, ticks, 600)
    assert bench.count("rolehost_jobs") == 0
    change(bench, tickstate.resume, "tidy")
    ticks.step()
    assert bench.count("rolehost_jobs") == 0
    after(bench, ticks)
    assert bench.count("rolehost_jobs") == 1


def test_a_schedule_that_was_paused_before_its_first_tick_stays_paused(bench):
    runtime = bench.make_runtime(tidy)
    change(bench, tickstate.pause, "tidy")
    ticks = Ticker(runtime, [Schedule(name="tidy", actor=tidy, every=60.0)], "me", 15)
    ticks.step()
    after(bench, ticks, 600)
    assert bench.count("rolehost_jobs") == 0


def test_times_set_at_run_time_are_in_force_until_they_are_reset(bench, ticking):
    schedule, ticks = ticking()
    hourly = tickstate.replace(schedule, every=3600.0)
    change(bench, tickstate.change, hourly)
    assert after(bench, ticks) > 60
    assert bench.count("rolehost_jobs") == 0
    after(bench, ticks, 3600)
    assert bench.count("rolehost_jobs") == 1
    assert state(bench).changed
    change(bench, tickstate.reset, "tidy")
    ticks.step()
    assert bench.count("rolehost_jobs") == 1, "nothing was missed"
    after(bench, ticks)
    assert bench.count("rolehost_jobs") == 2
    assert not state(bench).changed


def test_a_change_to_another_zone_and_from_an_interval_to_cron(bench, ticking):
    schedule, ticks = ticking()
    changed = tickstate.replace(schedule, every=None, cron="0 3 * * *", timezone="Europe/Vienna")
    change(bench, tickstate.change, changed)
    found = tickstate.in_force(schedule, state(bench))
    assert (found.cron, found.every, found.timezone) == ("0 3 * * *", None, "Europe/Vienna")
    assert after(bench, ticks) > 60


def test_a_wrong_row_of_one_schedule_hurts_no_other(bench):
    runtime = bench.make_runtime(tidy)
    bench.clock.at = 1_700_000_000_000 // MINUTE * MINUTE
    both = [Schedule(name=name, actor=tidy, every=60.0) for name in ("bad", "good")]
    ticks = Ticker(runtime, both, "me", 15)
    ticks.step()
    with unit_of_work(runtime) as work:
        work.transaction.execute("UPDATE rolehost_ticks SET cron = 'no' WHERE schedule = 'bad'")
    after(bench, ticks)
    assert bench.count("rolehost_jobs") == 1
    states = tickstate.read(bench.database)
    assert states["bad"].error
    assert states["good"].error is None


def test_a_run_now_leaves_the_ticks_as_they_are_and_respects_the_overlap(bench, ticking):
    schedule, ticks = ticking(overlap="skip")
    before = state(bench).last_tick
    with unit_of_work(bench.runtime) as work:
        assert enqueue(work, schedule).created
    with unit_of_work(bench.runtime) as work:
        assert not enqueue(work, schedule).created
    assert (state(bench).last_tick, state(bench).skipped) == (before, 1)
    assert bench.count("rolehost_jobs") == 1
    del ticks


def test_jitter_is_shorter_than_the_time_between_two_ticks_of_a_cron_expression():
    schedule = Schedule(name="s", actor="a", cron="0,10 * * * *", jitter=599.0)
    cron.check(schedule, MINUTE)
    with pytest.raises(ValueError, match="less than the 600 s between two ticks"):
        cron.check(tickstate.replace(schedule, jitter=600.0), MINUTE)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"jitter": 60.0}, "jitter must be less than every"),
        ({"jitter": -1.0}, "jitter"),
        ({"missed": "some"}, "missed must be"),
        ({"missed_limit": 0}, "missed_limit"),
        ({"missed_limit": 10_001}, "missed_limit"),
        ({"overlap": "never"}, "overlap must be"),
    ],
)
def test_wrong_policies_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        Schedule(name="s", actor="a", every=60.0, **fields)
