"""Group commit: jobs that share a transaction, each behind a savepoint."""

from __future__ import annotations

import itertools
import threading
from collections import deque

import pytest
from rolehost.api import Dead, Event, Retry, RetryPolicy, Snooze, StorageBusy, actor
from rolehost.delivery import administration
from rolehost.delivery.groups import LOCK_MILLISECONDS, MOST_SAVEPOINTS
from rolehost.delivery.members import Together, count_groups, next_group, run_together
from rolehost.delivery.runner import Runner

from tests.delivery.things import Thing, plain


class Shutdown(BaseException):
    """Interrupts a thread, as Dramatiq does."""


def grouped(bench, body, **options):
    """Declare an actor with this body, which gets the context and the number of the job."""

    @actor(name="member", grouped=True, **options)
    def member(context, n: int):
        return body(context, n)

    bench.make_runtime(member, plain)
    return member


def enqueue(bench, each, count):
    with bench.unit_of_work() as work:
        return [work.enqueue(each, n=n).id for n in range(count)]


def run(bench, services_of, on_error=None):
    """Run all waiting jobs in groups, as a worker thread does; return their ends."""
    jobs = Together(bench.claim())
    runner = Runner(bench.runtime, services_of(bench.runtime), (Shutdown,), on_error)
    ends = []
    run_together(runner, jobs, lambda by, job: (by.run(job), 0.0), ends)
    for job, (end, _) in zip(jobs, ends, strict=False):
        if not end.stored:
            with bench.database.session(), bench.database.transaction() as tx:
                bench.runtime.ledger.finish(tx, job, end, bench.clock.now())
    return [end for end, _ in ends]


def states(bench, numbers):
    return [bench.job(number)["state"] for number in numbers]


def write(context, n):
    with context.services.unit_of_work():
        Thing.create(id=str(n))


@pytest.fixture
def group(bench, things, services_of):
    """Return a function that runs some jobs with this body in groups: states, things, ends."""

    def go(body, count=4, **options):
        numbers = enqueue(bench, grouped(bench, body, **options), count)
        ends = run(bench, services_of)
        return states(bench, numbers), things(), ends

    return go


def test_members_share_one_commit_with_their_ends(group):
    order = []

    def body(context, n):
        with context.services.unit_of_work() as work:
            Thing.create(id=str(n))
            work.after_commit(lambda: order.append(f"committed {n}"))
        order.append(f"ran {n}")

    found, things, ends = group(body, 3)
    assert found == ["completed"] * 3
    assert things == ["0", "1", "2"]
    assert all(end.stored for end in ends)
    assert order == ["ran 0", "ran 1", "ran 2", "committed 0", "committed 1", "committed 2"]


def test_a_member_that_fails_is_undone_alone(group):
    def body(context, n):
        write(context, n)
        if n in (1, 2):
            raise ValueError(n)

    found, things, _ = group(body)
    assert found == ["completed", "retrying", "retrying", "completed"]
    assert things == ["0", "3"]


def test_the_last_member_that_fails_is_undone_alone(group):
    def body(context, n):
        write(context, n)
        if n == 3:
            raise ValueError(n)

    found, things, _ = group(body)
    assert found == ["completed"] * 3 + ["retrying"]
    assert things == ["0", "1", "2"]


def test_outcomes_of_a_member_are_its_own(group):
    def body(context, n):
        write(context, n)
        return [None, Retry("later"), Snooze(5), Dead("no")][n]

    found, things, _ = group(body)
    assert found == ["completed", "retrying", "scheduled", "dead"]
    assert things == ["0", "1", "2", "3"]


def test_a_member_whose_statement_fails_is_undone_alone_even_if_it_hides_the_error(group, database):
    def body(context, n):
        with context.services.unit_of_work():
            Thing.create(id="same" if n < 2 else str(n))

    found, things, _ = group(body, retry=RetryPolicy(attempts=1))
    assert found == ["completed", "dead", "completed", "completed"]
    assert things == ["2", "3", "same"]

    def hides(context, n):
        with context.services.unit_of_work():
            Thing.create(id=f"more {n}")
            if n == 1:
                with pytest.raises(Exception, match=r"things\.id|duplicate key|already exists"):
                    Thing.create(id="same")

    found, things, _ = group(hides, retry=RetryPolicy(attempts=1))
    aborts = database.dialect == "postgresql"
    assert found == ["completed", "dead" if aborts else "completed", "completed", "completed"]
    assert ("more 1" in things) != aborts
    assert {"more 0", "more 2", "more 3"} < set(things)


def test_only_the_member_whose_claim_was_lost_is_undone(bench, things, services_of):
    calls = []
    numbers = enqueue(bench, grouped(bench, lambda context, n: calls.append(n)), 3)

    def body(context, n):
        calls.append(n)
        write(context, n)

    grouped(bench, body)
    jobs = Together(bench.claim())
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET token = 1 WHERE id = ?", (numbers[1],))
    ends = []
    runner = Runner(bench.runtime, services_of(bench.runtime))
    run_together(runner, jobs, lambda by, job: (by.run(job), 0.0), ends)
    assert [end.state for end, _ in ends] == ["completed", "lost", "completed"]
    assert all(end.stored for end, _ in ends)
    assert states(bench, numbers) == ["completed", "claimed", "completed"]
    assert things() == ["0", "2"]
    assert calls == [0, 1, 2] * 2


def test_after_a_deadlock_each_member_runs_alone(group):
    calls = []

    def body(context, n):
        calls.append(n)
        write(context, n)
        if n == 2 and calls.count(2) == 1:
            raise StorageBusy("the transaction was in a deadlock with another one")

    found, things, _ = group(body)
    assert found == ["completed"] * 4
    assert things == ["0", "1", "2", "3"]
    assert calls == [0, 1, 2, 0, 1, 2, 3]


def test_a_constraint_that_fails_at_the_commit_fails_its_member_only(group, bench):
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        tx.execute(
            "CREATE TABLE children (id INTEGER PRIMARY KEY REFERENCES parents"
            " DEFERRABLE INITIALLY DEFERRED)"
        )
        tx.execute("INSERT INTO parents VALUES (0), (2), (3)")

    def body(context, n):
        with context.services.unit_of_work() as work:
            work.database.peewee.execute_sql(f"INSERT INTO children VALUES ({n})")

    found, _, _ = group(body, retry=RetryPolicy(attempts=1))
    assert found == ["completed", "dead", "completed", "completed"]
    assert bench.count("children") == 3


@pytest.mark.parametrize("nested", [0, 1, 30])
def test_a_group_has_few_savepoints_with_those_of_atomic_blocks(group, nested):
    order = []

    def body(context, n):
        with context.services.unit_of_work() as work:
            for _ in range(nested):
                with work.database.peewee.atomic():
                    pass
            work.after_commit(lambda: order.append("committed"))
        order.append("ran")

    found, _, _ = group(body, MOST_SAVEPOINTS + 5)
    assert set(found) == {"completed"}
    sizes = " ".join(order).split("committed ran")
    assert max(each.count("ran") for each in sizes) <= -(-MOST_SAVEPOINTS // (nested + 1)) + 1


def test_members_without_effects_need_no_transaction(group, bench):
    found, _, ends = group(lambda _context, _n: None)
    assert found == ["completed"] * 4
    assert not any(end.stored for end in ends)


def test_events_and_jobs_of_members_are_written_with_their_effects(group, bench):
    def body(context, n):
        with context.services.unit_of_work() as work:
            work.publish(Event(topic="things", type="made", data=n))
            work.enqueue(plain, n=n)
            if n == 1:
                raise ValueError

    group(body, 3)
    assert bench.count("rolehost_outbox") == 2
    assert bench.count("rolehost_jobs") == 3 + 2
    assert {"outbox", "queue:default"} <= set(bench.woken)


def test_an_interrupted_group_writes_nothing_and_is_handed_back(group):
    def body(context, n):
        write(context, n)
        if n == 2:
            raise Shutdown

    found, things, ends = group(body)
    assert found == ["claimed"] * 4
    assert (things, ends) == ([], [])


def test_a_cancelled_member_does_not_run(bench, things, services_of):
    numbers = enqueue(bench, grouped(bench, write), 3)
    with bench.database.session(), bench.database.transaction() as tx:
        administration.cancel(tx, numbers[1], bench.clock.now())
    run(bench, services_of)
    assert states(bench, numbers) == ["completed", "cancelled", "completed"]
    assert things() == ["0", "2"]


def test_failures_are_reported_once_although_their_member_ran_twice(bench, things, services_of):
    calls, failures = [], []

    def body(context, n):
        calls.append(n)
        write(context, n)
        if n == 1:
            raise ValueError("one")
        if n == 2 and calls.count(2) == 1:
            raise StorageBusy("once")

    enqueue(bench, grouped(bench, body), 3)
    run(bench, services_of, failures.append)
    assert calls == [0, 1, 2, 0, 1, 2]
    assert [str(error) for error in failures] == ["one"]


def test_a_lock_that_another_transaction_holds_makes_each_member_run_alone(bench, group):
    if bench.database.dialect != "postgresql":
        pytest.skip("on SQLite a transaction waits for the write lock at its begin")
    with bench.unit_of_work():
        Thing.create(id="held")
    locked, release = threading.Event(), threading.Event()

    def hold():
        with bench.database.session(), bench.database.transaction() as tx:
            tx.execute("UPDATE things SET id = 'held' WHERE id = 'held'")
            locked.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(20)
    calls = []

    def body(context, n):
        calls.append(n)
        if len(calls) == 3:  # the first member runs again, alone
            release.set()
        with context.services.unit_of_work():
            if n == 0:
                Thing.create(id="0")
            else:
                Thing.update(id="changed").where(Thing.id == "held").execute()

    found, things, _ = group(body, 2)
    holder.join(20)
    assert found == ["completed"] * 2
    assert things == ["0", "changed"]
    assert calls == [0, 1, 0, 1]


def test_members_wait_shortly_for_locks_after_the_first_although_others_failed(bench, group):
    if bench.database.dialect != "postgresql":
        pytest.skip("SQLite has one lock")
    found = []

    def body(context, n):
        with context.services.unit_of_work() as work:
            [(limit,)] = work.database.read("SHOW lock_timeout")
            found.append(limit)
        if n in (0, 3):
            raise ValueError(n)

    group(body, 6)
    assert len(set(found[:2])) == 1  # nothing of the first is left, so the second is the first
    assert found[2:] == [f"{LOCK_MILLISECONDS}ms"] * 4
    assert found[0] != found[2]


@pytest.mark.parametrize(
    "may_join", [lambda _run: True, lambda _run: False, lambda run: run[0] % 7]
)
def test_as_many_groups_are_counted_as_are_taken(may_join):
    ready = deque([number] for number in range(2 * MOST_SAVEPOINTS + 1))
    counted = count_groups(ready, may_join, len(ready))
    assert [count_groups(ready, may_join, most) for most in (0, 1)] == [0, 1]
    taken = [next_group(ready, may_join) for _ in range(counted)]
    assert not ready
    assert list(itertools.chain(*taken)) == list(range(2 * MOST_SAVEPOINTS + 1))
    assert max(map(len, taken)) <= MOST_SAVEPOINTS


def test_a_statement_that_cannot_be_parsed_fails_its_member_only(group):
    def body(context, n):
        with context.services.unit_of_work() as work:
            if n == 1:
                work.database.peewee.execute_sql("THIS IS NO STATEMENT")
            Thing.create(id=str(n))

    found, things, _ = group(body, retry=RetryPolicy(attempts=1))
    assert found == ["completed", "dead", "completed", "completed"]
    assert things == ["0", "2", "3"]
