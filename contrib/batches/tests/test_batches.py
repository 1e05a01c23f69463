"""Batches, chains and their callbacks."""

from __future__ import annotations

import pytest
from rolehost.api import PayloadError
from rolehost_batches import (
    BatchOver,
    add_to_batch,
    call,
    cancel_batch,
    enqueue_batch,
    find_batch,
)


def drain(here):
    """Run all jobs, and what the sweep finds."""
    here.advance(5.1, raises=False)


def enqueue(here, *steps, **callbacks):
    return enqueue_batch(here.services, *steps, **callbacks)


@pytest.mark.parametrize("kind", ["work", "pure", "later", "together"])
def test_a_callback_runs_once_after_all_jobs(here, shop, ran, kind):
    each = getattr(shop, kind)
    batch = enqueue(
        here, [call(each, n=n) for n in range(5)], on_success=call(shop.tell, text="done")
    )
    here.drain()
    assert sorted(ran[:5]) == [0, 1, 2, 3, 4]
    assert ran[5:] == ["done"]
    found = find_batch(here.services, batch)
    assert (found.state, found.counts) == ("completed", {"completed": 5})
    drain(here)
    assert ran[5:] == ["done"]


def test_a_chain_runs_step_after_step(here, shop, ran):
    enqueue(here, call(shop.work, n=3), call(shop.pure, n=2), call(shop.later, n=1))
    here.drain()
    assert ran == [3, 2, 1]


def test_steps_fan_out_and_in_with_results(here, shop, ran):
    enqueue(here, call(shop.work, n=1), [call(shop.work, n=n) for n in (2, 3)], call(shop.collect))
    here.drain()
    assert ran[0] == 1
    assert ran[-1] == ("open", [1, 4, 9])


def test_a_failed_job_stops_the_chain_and_runs_the_callbacks_of_a_failure(here, shop, ran):
    batch = enqueue(
        here,
        [call(shop.work, n=-1), call(shop.work, n=7)],
        call(shop.work, n=8),
        on_success=call(shop.tell, text="good"),
        on_failure=call(shop.tell, text="bad"),
        on_end=call(shop.tell, text="end"),
    )
    drain(here)
    assert sorted(ran[:2]) == [-1, 7]
    assert sorted(ran[2:]) == ["bad", "end"]
    found = find_batch(here.services, batch)
    assert (found.state, found.step) == ("failed", 0)
    assert found.counts == {"dead": 1, "completed": 1, "skipped": 1}
    assert here.services.job(found.jobs[1][0]).state == "cancelled"
    assert here.services.job(found.callbacks["success"]).state == "cancelled"


def test_no_passing_of_time_starts_a_later_step(here, shop, ran):
    enqueue(here, call(shop.work, n=-1), call(shop.work, n=8), on_success=call(shop.tell, text="x"))
    here.drain(with_delays=True, raises=False)
    here.clock.advance(10 * 365 * 86_400)
    here.drain(raises=False)
    assert ran == [-1]


def test_a_cancelled_job_is_a_failure_of_its_batch(here, shop, ran):
    batch = enqueue(here, [call(shop.work, n=1), call(shop.work, n=2)])
    (jobs,) = find_batch(here.services, batch).jobs
    with here.services.unit_of_work() as work:
        work.cancel(jobs[0])
    drain(here)
    found = find_batch(here.services, batch)
    assert (found.state, found.counts) == ("failed", {"cancelled": 1, "completed": 1})


def test_a_batch_exists_only_if_its_transaction_commits(here, shop, ran):
    with pytest.raises(ZeroDivisionError), here.services.unit_of_work():
        batch = enqueue(here, call(shop.work, n=1), on_end=call(shop.tell, text="end"))
        raise ZeroDivisionError
    drain(here)
    assert ran == []
    assert find_batch(here.services, batch) is None


def test_arguments_of_later_steps_are_checked_at_once(here, shop):
    with pytest.raises(PayloadError, match=r"shop\.work.*n"):
        enqueue(here, call(shop.work, n=1), call(shop.work, n="two"))
    with pytest.raises(TypeError, match="a step is a call"):
        enqueue(here, [shop.work])
    assert here.enqueued == []


def test_empty_steps_are_over_at_once(here, shop, ran):
    assert enqueue(here, [], [], on_success=call(shop.tell, text="empty"))
    enqueue(here, on_end=call(shop.tell, text="nothing"))
    enqueue(here, call(shop.work, n=1), [], call(shop.work, n=2))
    here.drain()
    assert sorted(map(str, ran)) == ["1", "2", "empty", "nothing"]


def test_a_job_may_add_jobs_to_its_step(here, shop, ran):
    batch = enqueue(here, call(shop.work, n=1), call(shop.tell, text="second step"))
    added = add_to_batch(here.services, batch, call(shop.work, n=2), call(shop.pure, n=3))
    assert len(added) == 2
    here.drain()
    assert sorted(ran[:3]) == [1, 2, 3]
    assert ran[3:] == ["second step"]
    with pytest.raises(BatchOver, match=f"batch {batch} has ended"):
        add_to_batch(here.services, batch, call(shop.work, n=4))


def test_a_cancelled_batch_runs_nothing_more(here, shop, ran):
    batch = enqueue(
        here, call(shop.work, n=1), call(shop.work, n=2), on_end=call(shop.tell, text="end")
    )
    assert cancel_batch(here.services, batch) == 3
    drain(here)
    assert ran == []
    assert find_batch(here.services, batch).state == "cancelled"
    with pytest.raises(BatchOver):
        cancel_batch(here.services, batch)


def test_many_jobs_are_looked_at_a_few_times_only(here, shop, ran):
    jobs = [call(shop.together, n=n) for n in range(200)]
    enqueue(here, jobs, on_end=call(shop.tell, text="end"))
    names = here.drain(with_delays=True).names
    assert ran[-1] == "end"
    assert names.count("batches.advance") < 25


def test_a_batch_and_its_jobs_are_deleted_after_their_time(here, shop):
    batch = enqueue(here, call(shop.work, n=1))
    drain(here)
    here.clock.advance(14 * 86_400)
    drain(here)
    assert find_batch(here.services, batch) is None
