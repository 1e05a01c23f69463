"""The rules of limits, without a database."""

from __future__ import annotations

import pytest
from rolehost.api import Limits
from rolehost.delivery.limits import Allowance, Candidates, Partition, of_key, of_partition, share

SECOND = 1_000_000


def partition(kind="partition", held=0, next_at_us=0) -> Partition:
    return Partition(1, kind, "a", "default", "work", 1, 0, held, next_at_us)


def candidates(count: int, **columns) -> Candidates:
    return Candidates(partition(**columns), [(number, "work") for number in range(count)], False)


def test_without_a_limit_all_jobs_that_are_wanted_are_taken():
    taken = share(candidates(5), Limits(), {"work": {}}, 3, 0)
    assert (taken.jobs, taken.open) == ([0, 1, 2], True)


def test_a_partition_gives_as_many_jobs_as_it_has_places_and_is_closed_when_it_is_full():
    taken = share(candidates(5, held=1), Limits(concurrency=3), {"work": {}}, 5, 0)
    assert (taken.jobs, taken.open, taken.after.held) == ([0, 1], False, 3)


def test_the_limit_of_the_actor_holds_for_all_its_partitions_together():
    above = {"work": {"actor:work": Allowance(Limits(concurrency=3))}}
    first = share(candidates(2), Limits(), above, 5, 0)
    second = share(candidates(2), Limits(), above, 5, 0)
    assert [len(first.jobs), len(second.jobs)] == [2, 1]
    assert second.open  # it is the actor that is full


def test_an_actor_without_an_entry_gives_nothing():
    taken = share(candidates(2), Limits(), {}, 5, 0)
    assert (taken.jobs, taken.open) == ([], True)


@pytest.mark.parametrize("kind", ["key", "partition"])
def test_a_serial_partition_is_taken_as_a_run_only_if_nothing_of_it_is_held(kind):
    limits = Limits(concurrency=1)
    run = share(candidates(3, kind=kind), limits, {"work": {}}, 5, 0)
    assert (run.jobs, run.serial, run.open) == ([0, 1, 2], True, False)
    held = share(candidates(3, kind=kind, held=1), limits, {"work": {}}, 5, 0)
    assert (held.jobs, held.open) == ([], False)


def test_a_rate_admits_its_burst_at_once_and_then_one_job_in_each_interval():
    limit = Allowance(Limits(rate=10, burst=3))
    assert limit.room(0) == 3
    limit.take(3, 0)
    assert limit.room(0) == 0
    assert limit.due_at_us(0) == SECOND // 10
    assert limit.room(SECOND // 10) == 1
    assert limit.room(10 * SECOND) == 3


def test_a_rate_is_not_exceeded_in_any_interval():
    limit = Allowance(Limits(rate=7, burst=2))
    taken = 0
    for now in range(0, 10 * SECOND, 3001):
        count = int(limit.room(now))
        limit.take(count, now)
        taken += count
        assert taken <= 2 + 7 * now / SECOND
    assert taken >= 70


def test_a_partition_that_waits_for_its_rate_is_closed_until_the_rate_admits_a_job():
    taken = share(candidates(5), Limits(rate=2), {"work": {}}, 5, 0)
    assert (taken.jobs, taken.open, taken.due_at_us) == ([0], False, SECOND // 2)


def test_the_ids_of_partitions_differ_by_actor_and_queue_but_a_key_is_one_everywhere():
    ids = {of_partition("a", queue, actor).id for queue in "qr" for actor in "xy"}
    assert len(ids) == 4
    assert of_key("a", "q", "x").id == of_key("a", "r", "y").id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be from 1"),
        ({"concurrency": -1}, "concurrency must be from 1"),
        ({"concurrency": 1.5}, "concurrency must be an int"),
        ({"rate": 0}, "rate must be from one job in 30 days"),
        ({"rate": float("nan")}, "rate must be from one job in 30 days"),
        ({"rate": 1e9}, "to 1,000,000 jobs per second"),
        ({"rate": "10"}, "rate must be a number"),
        ({"rate": 1, "burst": 0}, "burst must be from 1"),
        ({"burst": 5}, "burst needs a rate"),
    ],
)
def test_a_limit_out_of_bounds_is_an_error_where_it_is_made(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Limits(**options)
