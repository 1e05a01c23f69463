"""The unit of work: rows, jobs and events leave together or not at all."""

from __future__ import annotations

import pytest
from rolehost import failpoints
from rolehost.api import Event, PayloadError, UndeclaredError, UnknownActor, actor
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.work import new_id


@actor()
def add(context, n: int, to: str = "x"):
    pass


@actor(queue="other", durable=False)
def passing(services, n: int):
    pass


def test_a_job_exists_when_the_block_ends_and_its_queue_is_woken(bench):
    runtime = bench.make_runtime(add)
    with unit_of_work(runtime) as work:
        job = work.enqueue(add, n=1)
        assert bench.woken == []
    assert bench.job(job.id)["state"] == "available"
    assert bench.woken == ["queue:default"]


def test_a_lone_call_reaches_each_failpoint_of_its_commit_once(bench):
    runtime = bench.make_runtime(add)
    reached = []
    disarm = [
        failpoints.arm(name, lambda name: reached.append((name, bench.count("rolehost_jobs"))))
        for name in ("work.before_commit", "work.after_commit")
    ]
    try:
        with unit_of_work(runtime, single=True) as work:
            work.enqueue(add, n=1)
    finally:
        for each in disarm:
            each()
    assert reached == [("work.before_commit", 0), ("work.after_commit", 1)]


def test_an_exception_takes_jobs_events_and_callbacks_back(bench):
    runtime = bench.make_runtime(add)
    called = []
    with pytest.raises(RuntimeError), unit_of_work(runtime) as work:
        work.enqueue(add, n=1)
        work.publish(Event(topic="things", type="t", data=b"{}"))
        work.after_commit(lambda: called.append(1))
        raise RuntimeError("no")
    assert bench.count("rolehost_jobs") == bench.count("rolehost_outbox") == 0
    assert bench.woken == called == []


def test_an_inner_block_joins_the_outer_one(bench):
    runtime = bench.make_runtime(add)
    with pytest.raises(RuntimeError), unit_of_work(runtime) as outer:
        with unit_of_work(runtime) as inner:
            assert inner is outer
            inner.enqueue(add, n=1)
        raise RuntimeError("after the inner block ended well")
    assert bench.count("rolehost_jobs") == 0


def test_callbacks_run_after_the_commit_and_a_failing_one_stops_nothing(bench):
    runtime = bench.make_runtime(add)
    seen = []
    with unit_of_work(runtime) as work:
        job = work.enqueue(add, n=1)
        work.after_commit(lambda: 1 / 0)
        work.after_commit(lambda: seen.append(bench.job(job.id)["state"]))
    assert seen == ["available"]


def test_a_delayed_job_waits_for_its_time(bench):
    runtime = bench.make_runtime(add)
    with unit_of_work(runtime) as work:
        job = work.enqueue(add, n=1, delay=60)
    assert bench.job(job.id)["state"] == "scheduled"
    assert bench.claim() == []
    bench.clock.forward(60)
    assert [each.id for each in bench.claim()] == [job.id]


def test_a_unique_text_is_taken_once_and_free_after_the_job(bench):
    runtime = bench.make_runtime(add)
    with unit_of_work(runtime) as work:
        first = work.enqueue(add, n=1, unique="daily")
        second = work.enqueue(add, n=2, unique="daily")
    assert (second.id, second.created) == (first.id, False)
    assert bench.run(bench.claim()[0]) == "completed"
    with unit_of_work(runtime) as work:
        assert work.enqueue(add, n=3, unique="daily").created


def test_many_jobs_are_enqueued_in_one_statement(bench):
    runtime = bench.make_runtime(add)
    with unit_of_work(runtime) as work:
        assert work.enqueue_many(add, ({"n": n} for n in range(50))) == 50
        assert work.enqueue_many(add, []) == 0
    assert len(bench.claim()) == 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "missing: \\['n'\\]"),
        ({"n": 1, "m": 2}, "unknown: \\['m'\\]"),
        ({"n": object()}, "object"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_where_they_are_sent(bench, arguments, words):
    runtime = bench.make_runtime(add)
    with pytest.raises(PayloadError, match=words), unit_of_work(runtime) as work:
        work.enqueue(add, **arguments)


def test_undeclared_actors_and_topics_are_refused_or_counted(bench):
    strict = bench.make_runtime()
    with pytest.raises(UndeclaredError, match=r"PluginInfo\.enqueues"):
        with unit_of_work(strict) as work:
            work.enqueue(add, n=1)
    with pytest.raises(UndeclaredError, match=r"PluginInfo\.publishes"):
        with unit_of_work(strict) as work:
            work.publish(Event(topic="elsewhere", type="t", data=b""))
    counted = []
    bench.recorder.add(_Undeclared(counted))
    lenient = bench.make_runtime(strict=False)
    with unit_of_work(lenient) as work:
        work.enqueue(add, n=1)
        work.publish(Event(topic="elsewhere", type="t", data=b""))
    assert counted == [("actor", "add"), ("topic", "elsewhere")]


class _Undeclared:
    def __init__(self, seen):
        self.seen = seen

    def undeclared(self, kind, name):
        self.seen.append((kind, name))


def test_an_ephemeral_or_unknown_actor_is_not_enqueued(bench):
    runtime = bench.make_runtime(passing)
    with pytest.raises(UnknownActor, match="ephemeral"), unit_of_work(runtime) as work:
        work.enqueue(passing, n=1)
    lenient = bench.make_runtime(strict=False)
    with pytest.raises(UnknownActor, match="not in this deployment"):
        with unit_of_work(lenient) as work:
            work.enqueue("nobody", n=1)


def test_event_ids_are_version_7_uuids_that_rise_with_time():
    early, late = new_id(1_700_000_000_000, 2**74 - 1), new_id(1_700_000_000_001, 0)
    assert early < late
    assert early[14] == late[14] == "7"
    assert early[19] in "89ab"
