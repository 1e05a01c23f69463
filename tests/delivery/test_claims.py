"""Claims and enqueueing by several threads at once: nothing twice, no limit passed."""

from __future__ import annotations

import threading

import msgspec
import pytest
from rolehost.api import Actor, JobContext
from rolehost.delivery.envelope import indexable
from rolehost.delivery.jobs import Finish
from rolehost.delivery.scopes import unit_of_work
from rolehost.failures import storable


def work(context: JobContext, number: int) -> None:
    """Do nothing."""


ACTOR = Actor(name="work", fn=work)


def in_threads(count, call):
    failures = []

    def run(number):
        try:
            call(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_workers_that_claim_at_once_share_the_jobs_and_keep_to_the_limit(bench):
    runtime = bench.make_runtime(ACTOR)
    with unit_of_work(runtime) as unit:
        unit.enqueue_many(ACTOR, [{"number": number} for number in range(200)])
    claimed = []

    def claim(number):
        while jobs := bench.claim(f"worker-{number}", limit=7):
            assert len(jobs) <= 7
            claimed.extend(job.id for job in jobs)

    in_threads(4, claim)
    left = bench.claim("late", limit=200)
    claimed.extend(job.id for job in left)
    assert len(claimed) == len(set(claimed)) == 200


def test_of_unique_jobs_enqueued_at_once_one_is_created(bench):
    runtime = bench.make_runtime(ACTOR)
    created = []

    def enqueue(number):
        for turn in range(10):
            with unit_of_work(runtime) as unit:
                job = unit.enqueue(ACTOR, number=number, unique=f"turn-{turn}")
            created.append((turn, job.id, job.created))

    in_threads(4, enqueue)
    for turn in range(10):
        mine = [(number, new) for which, number, new in created if which == turn]
        assert len({number for number, _ in mine}) == 1
        assert [new for _, new in mine].count(True) == 1


def test_a_job_that_fails_with_any_text_is_given_back(bench):
    def fail(context: JobContext) -> None:
        raise ValueError("nul \0 and half a pair \ud800")

    actor = Actor(name="fail", fn=fail)
    runtime = bench.make_runtime(actor)
    with unit_of_work(runtime) as unit:
        unit.enqueue(actor)
    (job,) = bench.claim()
    assert bench.run(job) == "retrying"


@pytest.mark.parametrize("text", ["plain", "ü🐍", "nul\0", "\ud800", "x" * 10_000, "ü" * 10_000])
def test_texts_are_made_such_that_every_database_takes_them(text):
    assert "\0" not in storable(text)
    assert len(indexable(text).encode()) < 2704
    assert indexable(text) != indexable(text + "y")


def test_jobs_given_back_together_end_each_in_its_own_way_and_lost_ones_are_left(bench):
    runtime = bench.make_runtime(ACTOR)
    with unit_of_work(runtime) as unit:
        unit.enqueue_many(ACTOR, [{"number": number} for number in range(4)])
    done, again, dead, lost = bench.claim()
    now = bench.clock.now()
    ends = [
        (done, Finish("completed", now, True, None)),
        (again, Finish("retrying", now + 5000, True, "100% ?")),
        (dead, Finish("dead", now, False, "no")),
        (msgspec.structs.replace(lost, token=lost.token - 1), Finish("completed", now, True, None)),
    ]
    with bench.database.session():
        for part in (ends[1:2], ends[:1] + ends[2:], []):
            with bench.database.transaction() as tx:
                runtime.ledger.finish_many(tx, part, now)
    found = [bench.job(job.id) for job in (done, again, dead, lost)]
    assert [job["state"] for job in found] == ["completed", "retrying", "dead", "claimed"]
    assert [job["attempt"] for job in found] == [1, 1, 0, 0]
    assert [job["error"] for job in found] == [None, "100% ?", "no", None]
    assert found[1]["run_at"] == now + 5000
