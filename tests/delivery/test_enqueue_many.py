"""Bulk enqueueing with keys, unique texts, returned jobs and distributed start times."""

from __future__ import annotations

import pytest
from rolehost.api import PayloadError, UndeclaredError, Unique, actor


@actor(name="bulk.add")
def add(context, n: int, shop: str = "a"):
    pass


@pytest.fixture(autouse=True)
def runtime(bench):
    return bench.make_runtime(add)


def many(bench, arguments, **options):
    with bench.unit_of_work() as work:
        return work.enqueue_many(add, arguments, **options)


def column(bench, name):
    with bench.database.session():
        return [
            row[0] for row in bench.database.read(f"SELECT {name} FROM rolehost_jobs ORDER BY id")
        ]


def numbers(count):
    return [{"n": n} for n in range(count)]


def test_jobs_are_returned_in_the_order_of_their_arguments(bench):
    jobs = many(bench, numbers(1203), return_jobs=True)
    with bench.database.session():
        stored = dict(bench.database.read("SELECT id, arguments FROM rolehost_jobs"))
    assert [bytes(stored[job.id]) for job in jobs] == [b'{"n":%d}' % n for n in range(1203)]
    assert {(job.actor, job.created) for job in jobs} == {("bulk.add", True)}


def test_no_arguments_are_no_jobs(bench):
    assert many(bench, [], return_jobs=True, spread=5) == []
    assert bench.woken == []


def test_a_function_gives_each_job_its_key(bench):
    many(
        bench,
        [{"n": 1, "shop": "a"}, {"n": 2, "shop": "b"}],
        key=lambda n, shop: f"shop {shop}",
    )
    many(bench, [{"n": 3}], key="one")
    assert column(bench, "key") == ["shop a", "shop b", "one"]
    assert len(bench.claim()) == 3


def test_a_job_whose_text_is_taken_is_the_existing_job(bench):
    [old] = many(bench, [{"n": 7}], unique=lambda n: f"add {n}", return_jobs=True)
    jobs = many(
        bench,
        [{"n": 6}, {"n": 7}, {"n": 8}, {"n": 6}],
        unique=lambda n: f"add {n}",
        return_jobs=True,
    )
    assert [job.created for job in jobs] == [True, False, True, False]
    assert jobs[1].id == old.id
    assert jobs[3].id == jobs[0].id
    assert bench.count("rolehost_jobs") == 3


def test_without_the_jobs_the_created_ones_are_counted(bench):
    assert many(bench, numbers(3), unique=lambda n: f"add {n}") == 3
    assert many(bench, numbers(5), unique=lambda n: f"add {n}") == 2
    assert many(bench, numbers(5)) == 5


def test_a_rule_of_unique_holds_for_each_job(bench):
    rule = {"unique": lambda n, shop: Unique(f"add {n}", conflict="replace")}
    many(bench, [{"n": 1, "shop": "a"}], **rule)
    assert many(bench, [{"n": 1, "shop": "b"}, {"n": 2, "shop": "b"}], **rule) == 1
    texts = sorted(bytes(each) for each in column(bench, "arguments"))
    assert texts == [b'{"n":1,"shop":"b"}', b'{"n":2,"shop":"b"}']


def test_start_times_are_distributed_evenly(bench):
    now = bench.clock.now()
    many(bench, numbers(4), spread=60)
    assert [at - now for at in column(bench, "run_at")] == [0, 15_000, 30_000, 45_000]
    assert column(bench, "state") == ["available", "scheduled", "scheduled", "scheduled"]
    assert bench.run(bench.claim()[0]) == "completed"
    bench.clock.forward(15)
    assert len(bench.claim()) == 1


def test_start_times_are_distributed_from_the_delay_on(bench):
    now = bench.clock.now()
    many(bench, numbers(2), spread=1, delay=10)
    assert [at - now for at in column(bench, "run_at")] == [10_000, 10_500]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spread": -1}, "spread must be from 0"),
        ({"spread": "5"}, "spread must be a number of seconds"),
        ({"key": lambda n: 5}, r"job 0 of enqueue_many\(\), from 0: .*key must be a str"),
        ({"key": lambda n: 1 // n}, r"job 0 of enqueue_many\(\), from 0: key: ZeroDivisionError"),
        ({"unique": lambda n: ""}, "job 0 of .*unique must have 1 to 600"),
        ({"unique": lambda x: "a"}, "job 0 of .*unexpected keyword"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_nothing_is_enqueued(bench, options, words):
    with pytest.raises(PayloadError, match=words):
        many(bench, numbers(2), **options)
    assert bench.count("rolehost_jobs") == 0


def test_an_undeclared_actor_is_refused_as_by_enqueue(bench):
    bench.make_runtime()
    with pytest.raises(UndeclaredError):
        many(bench, numbers(1))
