"""Durable jobs: claims, fencing, effects once, retries, crashes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from rolehost.api import (
    Dead,
    JobMiddleware,
    Retry,
    RetryPolicy,
    Snooze,
    StorageUnavailable,
    actor,
)
from rolehost.delivery import administration, leases, retention, sweep
from rolehost.delivery.leases import Identity, Presence
from rolehost.failpoints import Crash
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.settings import EmbeddedSettings


@actor()
def note(context, n: int):
    """Leave an effect: another job."""
    with context.services.unit_of_work() as work:
        work.enqueue(plain, n=n)


@actor()
def plain(context, n: int = 0):
    pass


def enqueue(bench, each, **options):
    with bench.unit_of_work() as work:
        return work.enqueue(each, **options)


def test_a_job_runs_and_is_completed(bench):
    bench.make_runtime(plain)
    job = enqueue(bench, plain, n=1)
    assert bench.run(bench.claim()[0]) == "completed"
    assert bench.job(job.id)["attempt"] == 1
    assert bench.claim() == []


def test_arguments_arrive_in_the_types_of_the_signature(bench):
    seen = []

    class Order(msgspec.Struct):
        number: int

    @actor()
    def typed(context, when: datetime, order: Order, tags: list[str] = []):  # noqa: B006
        seen.append((when, order, tags))

    typed.fn.__annotations__.update(when=datetime, order=Order, tags=list[str])
    bench.make_runtime(typed)
    moment = datetime(2030, 1, 2, tzinfo=UTC)
    enqueue(bench, typed, when=moment, order=Order(4))
    bench.run(bench.claim()[0])
    assert seen == [(moment, Order(4), [])]


def test_jobs_are_claimed_by_priority_then_in_order(bench):
    bench.make_runtime(plain)
    late = enqueue(bench, plain)
    urgent = enqueue(bench, plain, priority=-5)
    later = enqueue(bench, plain)
    assert [job.id for job in bench.claim()] == [urgent.id, late.id, later.id]


def test_a_claimed_job_is_not_claimed_again(bench):
    bench.make_runtime(plain)
    enqueue(bench, plain)
    assert len(bench.claim("one")) == 1
    assert bench.claim("two") == []


def test_a_job_of_an_actor_that_is_not_enabled_here_is_left_for_others(bench):
    bench.make_runtime(plain, note)
    job = enqueue(bench, note, n=1)
    bench.make_runtime(plain)
    assert bench.claim() == []
    assert bench.job(job.id)["state"] == "available"


def test_jobs_of_one_key_run_one_after_the_other(bench):
    bench.make_runtime(plain)
    first = enqueue(bench, plain, key="k")
    second = enqueue(bench, plain, key="k")
    other = enqueue(bench, plain, key="other")
    runs = bench.claim_runs()
    # One process gets a run of several jobs of a key, and runs them in order.
    assert [[job.id for job in run] for run in runs] == [[first.id, second.id], [other.id]]
    third = enqueue(bench, plain, key="k")
    bench.run(runs[0][0])
    assert bench.claim_runs() == []
    bench.run(runs[0][1])
    assert [[job.id for job in run] for run in bench.claim_runs()] == [[third.id]]


def test_effects_and_completion_commit_together(bench):
    bench.make_runtime(note, plain)
    job = enqueue(bench, note, n=1)
    assert bench.run(bench.claim()[0]) == "completed"
    assert bench.count("rolehost_jobs") == 2
    assert bench.job(job.id)["state"] == "completed"


def test_effects_of_a_failing_attempt_are_undone_and_it_is_retried(bench):
    @actor(retry=RetryPolicy(attempts=2, base=10, jitter=0))
    def breaks(context):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
        raise ValueError("late")

    bench.make_runtime(breaks, plain)
    job = enqueue(bench, breaks)
    assert bench.run(bench.claim()[0]) == "retrying"
    found = bench.job(job.id)
    assert found["error"] == "ValueError: late"
    assert found["run_at"] == bench.clock.now() + 10_000
    bench.clock.forward(10)
    assert bench.run(bench.claim()[0]) == "dead"
    assert bench.count("rolehost_jobs") == 1


def test_an_actor_that_swallows_the_error_of_a_block_commits_nothing_of_it(bench):
    @actor()
    def swallows(context):
        try:
            with context.services.unit_of_work() as work:
                work.enqueue(plain)
                raise ValueError
        except ValueError:
            pass

    bench.make_runtime(swallows, plain)
    enqueue(bench, swallows)
    assert bench.run(bench.claim()[0]) == "completed"
    assert bench.count("rolehost_jobs") == 1


def test_a_stale_claim_writes_nothing(bench):
    bench.make_runtime(note, plain)
    job = enqueue(bench, note, n=1)
    stale = bench.claim("frozen")[0]
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, "frozen", bench.clock.now())
    fresh = bench.claim("other")[0]
    assert bench.run(stale) == "claimed"
    assert bench.count("rolehost_jobs") == 1
    assert bench.run(fresh) == "completed"
    assert bench.count("rolehost_jobs") == 2
    assert bench.job(job.id)["attempt"] == 1


@pytest.mark.parametrize(
    ("answer", "state", "counted", "after"),
    [
        (Retry("later", 30), "retrying", 1, 30_000),
        (Snooze(5), "scheduled", 0, 5_000),
        (Dead("gone"), "dead", 1, 0),
    ],
)
@pytest.mark.parametrize("raised", [False, True])
def test_a_returned_outcome_keeps_the_effects_and_a_raised_one_does_not(
    bench, answer, state, counted, after, raised
):
    @actor()
    def answers(context):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
        if raised:
            raise answer
        return answer

    bench.make_runtime(answers, plain)
    job = enqueue(bench, answers)
    assert bench.run(bench.claim()[0]) == state
    found = bench.job(job.id)
    assert found["attempt"] == counted
    assert found["run_at"] == bench.clock.now() + after
    assert found["error"] == getattr(answer, "reason", None)
    assert bench.count("rolehost_jobs") == (1 if raised else 2)


@pytest.mark.parametrize("failed", [False, True])
def test_an_attempt_may_roll_back_and_write_something_else(bench, failed):
    @actor()
    def tries(context):
        with suppress(ValueError), context.services.unit_of_work() as work:
            work.enqueue(plain, n=1)
            with context.services.unit_of_work() as inner:
                inner.enqueue(plain, n=2)
                if failed:
                    raise ValueError
        context.roll_back()
        with context.services.unit_of_work() as work:
            work.enqueue(plain, n=3)
        return Retry("later", 30)

    bench.make_runtime(tries, plain)
    enqueue(bench, tries)
    assert bench.run(bench.claim()[0]) == "retrying"
    (other,) = bench.claim()
    assert (bench.count("rolehost_jobs"), other.arguments) == (2, b'{"n":3}')


def test_an_attempt_cannot_roll_back_inside_a_unit_of_work(bench):
    @actor()
    def tries(context):
        with context.services.unit_of_work() as work:
            work.enqueue(plain)
            context.roll_back()

    bench.make_runtime(tries, plain)
    job = enqueue(bench, tries)
    assert bench.run(bench.claim()[0]) == "retrying"
    assert "call roll_back() after it" in bench.job(job.id)["error"]
    assert bench.count("rolehost_jobs") == 1


def test_a_shutdown_hands_the_job_back_uncounted(bench):
    class Shutdown(BaseException):
        pass

    @actor()
    def interrupted(context):
        raise Shutdown

    bench.make_runtime(interrupted)
    job = enqueue(bench, interrupted)
    assert bench.run(bench.claim()[0], (Shutdown,)) == "available"
    assert bench.job(job.id)["attempt"] == 0


def test_a_shutdown_in_middleware_hands_the_job_back_uncounted(bench):
    class Shutdown(BaseException):
        pass

    def interrupted(execution):
        raise Shutdown

    bench.make_runtime(plain)
    bench.runtime.middleware = [JobMiddleware(name="interrupted", around=interrupted)]
    job = enqueue(bench, plain)
    assert bench.run(bench.claim()[0], (Shutdown,)) == "available"
    assert bench.job(job.id)["attempt"] == 0


@pytest.mark.parametrize("use", ["read", "peewee", "unit of work"])
def test_an_absent_service_database_leaves_an_attempt_uncounted(bench, database_away, use):
    @actor(retry=RetryPolicy(attempts=1))
    def unlucky(context):
        with database_away():
            if use == "read":
                bench.database.read("SELECT 1")
            elif use == "peewee":
                bench.database.peewee.execute_sql("SELECT 1")
            else:
                context.services.unit_of_work().__enter__()

    bench.make_runtime(unlucky)
    job = enqueue(bench, unlucky)
    assert bench.run(bench.claim()[0]) == "scheduled"
    assert bench.job(job.id)["attempt"] == 0


def test_the_absence_of_any_other_storage_is_the_jobs_failure(bench):
    @actor(retry=RetryPolicy(attempts=2))
    def unlucky(context):
        raise StorageUnavailable("the cache is away")

    bench.make_runtime(unlucky)
    job = enqueue(bench, unlucky)
    assert bench.run(bench.claim()[0]) == "retrying"
    assert bench.job(job.id)["attempt"] == 1
    bench.clock.forward(3600)
    assert bench.run(bench.claim()[0]) == "dead"


def test_the_absence_of_another_database_is_the_jobs_failure(bench, tmp_path):
    other = EmbeddedDatabase(EmbeddedSettings(path=tmp_path / "none" / "other.db"))
    (tmp_path / "none").write_text("a file where the folder would be")

    @actor(retry=RetryPolicy(attempts=2))
    def unlucky(context):
        other.ping()

    bench.make_runtime(unlucky)
    job = enqueue(bench, unlucky)
    assert bench.run(bench.claim()[0]) == "retrying"
    assert "StorageRefused" in bench.job(job.id)["error"]


def test_fatal_exceptions_and_arguments_that_do_not_fit_are_dead_at_once(bench):
    @actor(retry=RetryPolicy(attempts=9, fatal=(KeyError,)))
    def fatal(context):
        raise KeyError("x")

    bench.make_runtime(fatal, plain)
    enqueue(bench, fatal)
    assert bench.run(bench.claim()[0]) == "dead"
    job = enqueue(bench, plain, n=1)
    # Enqueueing refuses them; another version of the code, whose types differ, would not.
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(
            "UPDATE rolehost_jobs SET arguments = ? WHERE id = ?", (b'{"n": "no number"}', job.id)
        )
    assert bench.run(bench.claim()[0]) == "dead"
    assert "Expected `int`, got `str`" in bench.job(job.id)["error"]


def test_an_invalid_return_value_of_an_actor_is_reported(bench):
    @actor()
    def odd(context):
        return 3

    bench.make_runtime(odd)
    job = enqueue(bench, odd)
    assert bench.run(bench.claim()[0]) == "retrying"
    assert (
        "returned int; expected None, Retry, Snooze, Dead or Complete" in bench.job(job.id)["error"]
    )


def crash(bench, owner):
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, owner, bench.clock.now())


def test_only_a_job_whose_start_was_recorded_is_charged_for_a_crash(bench):
    bench.make_runtime(plain)
    job = enqueue(bench, plain)
    bench.claim("p1")
    crash(bench, "p1")
    assert (bench.job(job.id)["crashes"], bench.job(job.id)["suspect"]) == (0, 1)
    bench.claim("p2")
    crash(bench, "p2")
    assert bench.job(job.id)["crashes"] == 0, "claimed as a suspect, but never started"


def test_a_job_that_kills_its_process_repeatedly_becomes_a_dead_letter(bench):
    """The first crash makes it a suspect, each later one is charged, the third is the last."""

    @actor(max_crashes=3)
    def poison(context):
        starts.append(context.id)
        raise Crash

    starts = []
    bench.make_runtime(poison)
    job = enqueue(bench, poison)
    processes = 0
    while bench.job(job.id)["state"] != "dead":
        processes += 1
        owner = f"p{processes}"
        claimed = bench.claim(owner)[0]
        try:
            bench.run(claimed)
        except Crash:
            crash(bench, owner)
    assert len(starts) == 4
    assert "died 3 times" in bench.job(job.id)["error"]


def test_a_cancelled_job_does_not_run(bench):
    bench.make_runtime(plain)
    waiting, running = enqueue(bench, plain), enqueue(bench, plain)
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.cancel(tx, waiting.id, bench.clock.now()) == (
            "cancelled",
            "queue:default",
        )
    claimed = bench.claim()[0]
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.cancel(tx, running.id, bench.clock.now()) == (
            "asked",
            "queue:default",
        )
        assert administration.cancel(tx, 999, bench.clock.now()) is None
    with bench.database.session(), bench.database.transaction() as tx:
        bench.runtime.ledger.release(tx, "me", bench.clock.now())
    assert claimed.id == running.id
    assert bench.run(bench.claim()[0]) == "cancelled"


def test_a_dead_job_is_retried_from_its_first_attempt(bench):
    @actor(retry=RetryPolicy(attempts=1))
    def fails(context):
        raise ValueError

    bench.make_runtime(fails)
    job = enqueue(bench, fails)
    assert bench.run(bench.claim()[0]) == "dead"
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.retry(tx, job.id, bench.clock.now()) == "queue:default"
        assert administration.retry(tx, 999, bench.clock.now()) is None
    assert bench.claim()[0].attempt == 0


def test_a_job_whose_unique_text_is_taken_again_is_not_retried(bench):
    bench.make_runtime(plain)
    first = enqueue(bench, plain, unique="u")
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, first.id, bench.clock.now())
    enqueue(bench, plain, unique="u")
    with bench.database.session(), bench.database.transaction() as tx:
        assert administration.retry(tx, first.id, bench.clock.now()) is None


def test_jobs_of_a_dead_process_are_released(bench):
    runtime = bench.make_runtime(plain)
    job = enqueue(bench, plain)
    presence = Presence(bench.database, bench.clock, 30)
    me = Identity("worker.0.1-1", "d", "worker", 0, 1)
    presence.renew(me)
    leases.acquire(bench.database, bench.clock, "sweep", me.id, 30)
    bench.claim(me.id)
    assert sweep.release_dead(runtime) == 0, "it lives"
    bench.clock.forward(31)
    bench.woken.clear()
    assert sweep.release_dead(runtime) == 1
    assert bench.job(job.id)["state"] == "available"
    assert "queue:default" in bench.woken
    assert leases.acquire(bench.database, bench.clock, "sweep", "next", 30)


def test_jobs_of_an_owner_without_presence_are_released(bench):
    runtime = bench.make_runtime(plain)
    job = enqueue(bench, plain)
    bench.claim("nobody")
    assert sweep.release_dead(runtime) == 1
    assert bench.job(job.id)["state"] == "available"


def test_retention_lets_finished_jobs_go(bench):
    runtime = bench.make_runtime(plain)
    for _ in range(3):
        enqueue(bench, plain)
    for job in bench.claim(limit=2):
        bench.run(job)
    bench.clock.forward(runtime.policy.keep_completed + 1)
    assert retention.delete_expired(runtime) == 2
    assert bench.count("rolehost_jobs") == 1
