"""Listings of jobs, filters on their texts, and the numbers of the metrics."""

from __future__ import annotations

import itertools

import pytest
from rolehost.delivery import administration, deadletters, queries, statistics
from rolehost.delivery.jobs import STATES

QUEUES, ACTORS, PARTITIONS = ("a", "b"), ("x", "y"), (None, "p")


@pytest.fixture
def jobs(bench) -> list[dict]:
    """Store two jobs of every state, queue, actor and partition; return them, newest first."""
    columns = ("state", "queue", "actor", "partition")
    rows = [*itertools.product(STATES, QUEUES, ACTORS, PARTITIONS)] * 2
    with bench.database.session(), bench.database.transaction() as tx:
        for number, row in enumerate(rows, 1):
            tx.execute(
                "INSERT INTO rolehost_jobs (state, queue, actor, partition, priority, run_at,"
                " arguments, finished_at, error, enqueued_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (*row, number % 3, 1000 + number, b'{"n":%d}' % number, number, f"E{number}"),
            )
    made = [dict(zip(("id", *columns), (n, *row), strict=True)) for n, row in enumerate(rows, 1)]
    return made[::-1]


@pytest.mark.parametrize("size", [5, 1000])
def test_every_combination_of_filters_finds_its_jobs_newest_first(bench, jobs, size):
    values = ((None, *STATES), (None, *QUEUES, "-"), (None, *ACTORS, "-"), (None, "p", "-"))
    with bench.database.session():
        for chosen in itertools.product(*values):
            names = ("state", "queue", "actor", "partition")
            filters = {
                name: value for name, value in zip(names, chosen, strict=True) if value is not None
            }
            wanted = [job["id"] for job in jobs if filters.items() <= job.items()]
            first = administration.listing(bench.database, **filters, limit=size)
            assert [job["id"] for job in first] == wanted[:size], filters
            if len(wanted) > size:
                cursor = {"before": wanted[size - 1], "limit": size}
                second = administration.listing(bench.database, **filters, **cursor)
                assert [job["id"] for job in second] == wanted[size : 2 * size], filters


def test_a_search_reads_a_bounded_number_of_jobs_and_can_be_continued(bench, jobs, monkeypatch):
    monkeypatch.setattr(administration, "_SEARCHED", 10)
    pages, before = [], None
    with bench.database.session():
        while not pages or before is not None:
            page = administration.search(
                bench.database, error="E1", arguments="7", state="dead", before=before, limit=1
            )
            pages.append([job["id"] for job in page.jobs])
            before = page.before
    assert [number for page in pages for number in page] == [
        job["id"]
        for job in jobs
        if job["state"] == "dead" and str(job["id"]).startswith("1") and "7" in str(job["id"])
    ]
    assert all(len(page) <= 1 for page in pages)


def test_completed_jobs_of_a_partition_are_found_among_the_newest_ones(bench, jobs, monkeypatch):
    monkeypatch.setattr(administration, "_SEARCHED", len(QUEUES) * len(ACTORS))
    with bench.database.session():
        found = administration.listing(bench.database, partition="p", state="completed")
        both = administration.listing(bench.database, partition="p")
    of_partition = [job["id"] for job in jobs if job["partition"] == "p"]
    completed = {job["id"] for job in jobs if job["state"] == "completed"}
    newest = {job["id"] for job in found}
    assert newest < {number for number in of_partition if number in completed}
    assert [job["id"] for job in both] == [
        number for number in of_partition if number not in completed or number in newest
    ]


def test_dead_letters_of_one_actor_are_listed_newest_first(bench, jobs):
    with bench.database.session():
        found = deadletters.listing(bench.database, what="x", limit=3)
    dead = [job["id"] for job in jobs if job["state"] == "dead" and job["actor"] == "x"]
    assert [letter.id for letter in found] == [f"job:{number}" for number in dead[:3]]


def test_the_metrics_count_the_jobs_of_every_queue_and_the_age_of_the_oldest(bench, jobs):
    bench.clock.at = 10_000
    found = statistics.collect(
        bench.database, None, None, [], bench.clock, queues={"c"}, roles=[], restarts={}
    )
    counted = {(each.queue, each.state): each for each in found.queues}
    for queue, state in itertools.product(QUEUES, statistics.UNFINISHED):
        own = [job["id"] for job in jobs if job["state"] == state and job["queue"] == queue]
        each = counted[queue, state]
        assert (each.count, each.oldest) == (len(own), (10_000 - 1000 - min(own)) / 1000)
    assert counted["c", "available"].count == 0
    assert found.dead_jobs == 16


def test_the_oldest_limited_job_is_found_although_it_was_not_enqueued_first(bench):
    bench.clock.at = 10_000
    times = [("x", 5000, 1), ("y", 4000, 2), ("y", 3000, 2), ("y", 6000, None)]
    with bench.database.session(), bench.database.transaction() as tx:
        tx.executemany(
            "INSERT INTO rolehost_jobs (state, queue, actor, run_at, partition_id, priority,"
            " arguments, enqueued_at) VALUES ('available', 'a', ?, ?, ?, 0, '{}', 1)",
            times,
        )
    found = statistics.collect(
        bench.database, None, None, [], bench.clock, queues=set(), roles=[], restarts={}
    )
    [oldest] = [each.oldest for each in found.queues if each.state == "available"]
    assert oldest == 7.0


def test_a_large_number_is_estimated_or_a_lower_bound(bench, jobs, monkeypatch):
    monkeypatch.setattr(queries, "_EXACT", {"sqlite": 10, "postgresql": 10})
    with bench.database.session():
        if bench.database.dialect == "postgresql":
            with bench.database.transaction() as tx:
                tx.execute("ANALYZE rolehost_jobs")
            expected = 16
        else:
            expected = 10
        condition = f"{queries.LISTED} AND state = ? AND actor IN ('x', 'y')"
        assert queries.count(bench.database, "rolehost_jobs", condition, ("dead",)) == expected
