"""Asynchronous handlers: many coroutines on one event loop of the consumer, ended by threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
import structlog
from rolehost.api import (
    Complete,
    Event,
    JobMiddleware,
    RetryPolicy,
    StorageUnavailable,
    actor,
    handler,
)
from rolehost.roles import stuck
from rolehost.roles.consumer import group, role
from rolehost.roles.consumer.parked import MOST_IN_TURN
from rolehost.roles.consumer.role import ConsumerRole
from structlog.testing import capture_logs

pytestmark = pytest.mark.needs("rolehost_embedded")

ONCE = RetryPolicy(attempts=1)
SOON = RetryPolicy(attempts=1000, delays=(0.02,), jitter=0.0)
NUMBER = ContextVar("number", default="")


@pytest.fixture(autouse=True)
def logs():
    """The log lines of a test; capturing them is quicker than rendering them."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def host(host):
    """Make hosts that relay events soon."""

    def make(actors=(), handlers=(), settings="", **more):
        return host(actors, handlers, settings=f"[delivery]\npoll = 0.05\n{settings}", **more)

    return make


@actor()
def effect(job, n: int):
    pass


def record(services, n):
    with services.unit_of_work() as work:
        work.enqueue(effect, n=n)


def publish(here, *events):
    with here.services.unit_of_work() as work:
        for event in events:
            work.publish(event)


def thing(data, **fields):
    return Event(topic="things", type="thing", data=data, **fields)


def on_things(**options):
    return handler(topic="things", group="g", payload=int, **options)


def consumer(here, slot=0):
    return here.start(ConsumerRole, "consumer", slot)


def until(true):
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not happen within 30 s")


def errors(here):
    return [error for (error,) in here.read("SELECT error FROM rolehost_dead_events ORDER BY id")]


def test_more_events_than_threads_are_handled_at_the_same_time(host, collected):
    together = asyncio.Event()
    waiting = []

    @on_things()
    async def meet(context, event):
        waiting.append(event.data)
        if len(waiting) == 100:
            together.set()
        await together.wait()
        collected.add(event.data)

    here = host(handlers=[meet], settings="[consumer]\nthreads = 2\n")
    consumer(here)
    publish(here, *[thing(n, key=f"k{n}") for n in range(100)])
    assert sorted(collected.wait(100)) == list(range(100))


def test_no_more_coroutines_run_than_events_may_be_in_flight(host, collected):
    running, most = set(), []

    @on_things()
    async def count(context, event):
        running.add(event.data)
        most.append(len(running))
        await asyncio.sleep(0.001)
        running.discard(event.data)
        collected.add(event.data)

    here = host(handlers=[count], settings="[consumer]\nin_flight = 3\n")
    consumer(here)
    publish(here, *[thing(n) for n in range(30)])
    assert sorted(collected.wait(30)) == list(range(30))
    assert max(most) <= 3


def test_events_of_a_key_are_handled_one_after_another(host, collected):
    running = defaultdict(int)

    @on_things(retry=SOON)
    async def on(context, event):
        running[event.key] += 1
        assert running[event.key] == 1, "two events of a key at the same time"
        await asyncio.sleep(0.001)
        running[event.key] -= 1
        if event.data % 10 == 0 and context.attempt < 3:
            raise ValueError("later events of the key wait")
        return Complete(add, context.services, event)

    def add(services, event):
        with services.unit_of_work():
            collected.add((event.key, event.data))

    here = host(handlers=[on])
    consumer(here)
    publish(here, *[thing(n, key=f"k{n % 9}") for n in range(200)])
    by_key = defaultdict(list)
    for key, n in collected.wait(200):
        by_key[key].append(n)
    assert all(numbers == sorted(set(numbers)) for numbers in by_key.values())


def test_the_function_of_complete_commits_with_the_mark_of_the_event(host, collected):
    def finish(services, event):
        record(services, event.data)
        collected.add(event.data)

    @on_things()
    async def on(context, event):
        await asyncio.sleep(0)
        return Complete(finish, context.services, event)

    here = host([effect], [on])
    consumer(here)
    publish(here, *[thing(n, id=f"id-{n % 50}") for n in range(100)])
    collected.wait(50)
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(50,)]
    assert here.read("SELECT count(*) FROM rolehost_inbox") == [(50,)]


def test_a_completion_that_fails_is_undone_and_the_event_is_retried(host, collected):
    def finish(context, event):
        record(context.services, event.data)
        if context.attempt == 1:
            raise ValueError("the effects of this attempt are undone")
        collected.add(context.attempt)

    @on_things(retry=SOON)
    async def on(context, event):
        return Complete(finish, context, event)

    here = host([effect], [on])
    consumer(here)
    publish(here, thing(1))
    assert collected.wait(1) == [2]
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(1,)]


def test_a_synchronous_handler_may_return_a_completion_too(host, collected):
    @on_things()
    def on(context, event):
        return Complete(collected.add, event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(1))
    assert collected.wait(1) == [1]


def test_run_calls_a_function_in_its_own_unit_of_work(host, collected):
    @on_things(retry=ONCE)
    async def on(context, event):
        await context.services.run(record, context.services, event.data)
        collected.add(event.data)
        raise ValueError("what run() has committed stays")

    here = host([effect], [on])
    consumer(here)
    publish(here, thing(1))
    collected.wait(1)
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(1,)]
    assert errors(here) == ["ValueError: what run() has committed stays"]


def test_the_database_is_refused_on_the_event_loop(host, collected):
    @on_things(retry=ONCE)
    async def on(context, event):
        collected.add(event.data)
        context.services.database.read("SELECT 1")

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(1))
    collected.wait(1)
    here.stop()
    [error] = errors(here)
    assert "await services.run(function, ...)" in error


def test_retries_occupy_no_threads(host, collected):
    """More coroutines of parked events than threads wait for each other."""
    together = asyncio.Event()
    waiting = []

    @on_things(retry=SOON)
    async def meet(context, event):
        if context.attempt == 1:
            raise ValueError("retried")
        waiting.append(event.data)
        if len(waiting) == 20:
            together.set()
        await together.wait()
        collected.add(event.data)

    here = host(handlers=[meet], settings="[consumer]\nthreads = 2\n")
    consumer(here)
    publish(here, *[thing(n, key=f"k{n}") for n in range(20)])
    assert sorted(collected.wait(20)) == list(range(20))


def test_parked_events_of_a_key_are_retried_in_their_order(host, collected):
    healed = threading.Event()

    @on_things(retry=SOON)
    async def on(context, event):
        await asyncio.sleep(0)
        if not healed.is_set():
            raise ValueError("not yet")
        collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, *[thing(n, key="k") for n in range(2 * MOST_IN_TURN)])
    until(lambda: here.services.statistics().parked_events == 2 * MOST_IN_TURN)
    healed.set()
    assert collected.wait(2 * MOST_IN_TURN) == list(range(2 * MOST_IN_TURN))
    until(lambda: here.services.statistics().parked_events == 0)


def test_an_attempt_is_cancelled_when_its_time_limit_passes(host, collected):
    @on_things(retry=ONCE, time_limit=0.05)
    async def on(context, event):
        try:
            await asyncio.sleep(60)
        finally:
            collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(1), thing(2))
    collected.wait(2)
    until(lambda: len(errors(here)) == 2)
    assert set(errors(here)) == {"TimeoutError: the time limit of 0.05 s has passed"}


def test_a_stopped_consumer_cancels_coroutines_and_their_events_are_handled_again(host, collected):
    first = threading.Event()

    @on_things(retry=ONCE)
    async def on(context, event):
        collected.add(("began", event.data, context.attempt))
        try:
            await asyncio.sleep(0 if first.is_set() else 60)
        except asyncio.CancelledError:
            collected.add(("cancelled", event.data))
            raise
        return Complete(record, context.services, event.data)

    here = host([effect], [on], settings="[consumer]\ngrace = 0.1\n")
    consumer(here)
    publish(here, *[thing(n, key=f"k{n % 20}") for n in range(40)])
    collected.wait(20)
    here.stop()
    assert {each[0] for each in collected.items[20:]} == {"cancelled"}
    first.set()
    consumer(here)
    collected.wait(80)
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(40,)]
    assert errors(here) == []


def test_a_coroutine_that_ends_within_the_grace_is_not_cancelled(host, collected):
    @on_things()
    async def on(context, event):
        collected.add("began")
        await context.services.run(stopping.wait, 20)
        return Complete(record, context.services, event.data)

    stopping = threading.Event()
    here = host([effect], [on])
    started = consumer(here)
    publish(here, thing(1))
    collected.wait(1)
    [member] = started._groups
    stop_by = member.stop_by
    member.stop_by = lambda deadline: (stop_by(deadline), stopping.set())
    here.stop()
    assert here.read("SELECT count(*) FROM rolehost_jobs") == [(1,)]


def test_coroutines_of_a_partition_that_moves_are_cancelled(host, collected, monkeypatch):
    monkeypatch.setattr(group, "REVOKE_TIMEOUT", 0.1)
    moved = threading.Event()

    @on_things()
    async def on(context, event):
        if not moved.is_set():
            collected.add("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                moved.set()
                raise
        collected.add(event.data)

    here = host(handlers=[on], settings="[consumer]\ngrace = 0.1\n")
    consumer(here)
    publish(here, *[thing(n, key=f"k{n}") for n in range(20)])
    collected.wait(20)
    consumer(here, 1)
    # Events of the partitions that stay wait for ever; the others are handled by the new member.
    assert moved.wait(20)
    until(lambda: any(each != "began" for each in collected.items))


def test_an_outage_of_the_service_database_parks_and_counts_nothing(host, collected):
    away = threading.Event()
    away.set()

    def write(services):
        if away.is_set():
            away.clear()
            error = StorageUnavailable("away")
            services.delivery.guard.mark_origin(error)
            raise error

    @on_things(retry=ONCE)
    async def on(context, event):
        collected.add(context.attempt)
        await context.services.run(write, context.services)
        collected.add("written")

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(1))
    assert collected.wait(3) == [1, 1, "written"]
    here.stop()
    assert errors(here) == []
    assert here.services.statistics().parked_events == 0


def test_an_event_that_cannot_be_decoded_is_a_dead_letter_and_blocks_no_other(host, collected):
    @on_things()
    async def on(context, event):
        collected.add(event.data)

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(b"no json", key="k"), thing(1, key="k"))
    assert collected.wait(1) == [1]
    assert [each.partition(":")[0] for each in errors(here)] == ["PayloadError"]


def test_the_start_of_a_suspect_is_recorded_before_its_coroutine(host, collected):
    @on_things()
    async def on(context, event):
        sql = "SELECT starts FROM rolehost_started_events"
        rows = await context.services.run(context.services.database.read, sql)
        collected.add([tuple(row) for row in rows])

    here = host(handlers=[on])
    with here.services.database.session(), here.services.database.transaction() as tx:
        tx.execute(
            "INSERT INTO rolehost_leases (name, owner, token, expires_at)"
            " VALUES ('crashed:consumer', 'x', 1, ?)",
            (here.services.clock.now() + 60_000,),
        )
    consumer(here)
    publish(here, thing(1))
    assert collected.wait(1) == [[(1,)]]


def test_middleware_goes_around_a_coroutine_and_its_completion(host, collected):
    @contextmanager
    def around(execution):
        token = NUMBER.set(execution.id)
        yield
        NUMBER.reset(token)  # raises in another context
        collected.add((execution.outcome, str(execution.exception or ""), ends.get(execution.id)))

    ends = {}

    @on_things(retry=ONCE)
    async def on(context, event):
        await asyncio.sleep(0)
        if event.data == 1:
            raise ValueError("fails")
        return Complete(lambda number: ends.update({NUMBER.get(): number}), NUMBER.get())

    here = host(handlers=[on], job_middleware=[JobMiddleware(name="around", around=around)])
    consumer(here)
    publish(here, thing(0, id="a"), thing(1, id="b"))
    assert sorted(collected.wait(2)) == [
        ("failed", "fails", None),
        ("handled", "", f"{here.services.delivery.source} a"),
    ]


def test_an_attempt_that_a_shutdown_ends_is_interrupted(host, collected):
    @contextmanager
    def around(execution):
        yield
        collected.add(execution.outcome)

    @on_things()
    async def on(context, event):
        collected.add("began")
        await asyncio.sleep(60)

    middleware = [JobMiddleware(name="around", around=around)]
    here = host(handlers=[on], job_middleware=middleware, settings="[consumer]\ngrace = 0.1\n")
    consumer(here)
    publish(here, thing(1))
    collected.wait(1)
    here.stop()
    assert collected.items == ["began", "interrupted"]


def test_log_lines_of_a_coroutine_have_event_and_group(host, collected):
    @on_things()
    async def on(context, event):
        await asyncio.sleep(0)
        collected.add(structlog.contextvars.get_contextvars())

    here = host(handlers=[on])
    consumer(here)
    publish(here, thing(1, id="e"))
    [bound] = collected.wait(1)
    assert bound == {"event_id": f"{here.services.delivery.source} e", "group": "g"}


def test_a_coroutine_that_blocks_the_loop_is_reported_with_its_stack(host, collected, logs):
    @on_things()
    async def blocks(context, event):
        time.sleep(1.8)  # this is what the test is about
        collected.add("done")

    here = host(handlers=[blocks])
    consumer(here)
    publish(here, thing(1, id="e"))
    collected.wait(1)
    [entry] = [each for each in logs if each["event"].startswith("the event loop is blocked")]
    assert entry["event_id"].endswith(" e")
    assert "time.sleep(1.8)" in entry["stack"]


def test_an_event_that_ignores_its_cancellation_fails_and_its_process_is_replaced(
    host, collected, logs, monkeypatch
):
    monkeypatch.setattr(stuck, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(stuck, "STUCK_GRACE", 0.1)
    for module in (stuck, role):
        monkeypatch.setattr(module, "LATE_SECONDS", 0.1)
    replaced = threading.Event()
    released = threading.Event()

    @on_things(retry=ONCE, time_limit=0.05)
    async def ignores(context, event):
        while not released.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                collected.add("ignored")

    def make(process):
        process.replace = lambda _reason: replaced.set()
        return ConsumerRole(process)

    here = host(handlers=[ignores])
    here.start(make, "consumer")._stuck.watch()
    publish(here, thing(1))
    assert replaced.wait(20)
    released.set()
    here.stop()
    assert errors(here) == ["TimeoutError: the time limit of 0.05 s has passed, and it did not end"]
    assert any(each["event"].startswith("a job or event is stuck") for each in logs)


def test_asynchronous_and_synchronous_handlers_of_a_group_run_in_one_process(host, collected):
    @on_things()
    async def coroutine(context, event):
        collected.add(threading.current_thread().name)

    @handler(topic="others", group="g")
    def plain(context, event):
        collected.add(threading.current_thread().name)

    here = host(handlers=[coroutine, plain])
    consumer(here)
    publish(here, thing(1), Event(topic="others", type="t", data=b""))
    assert len(set(collected.wait(2))) == 2


@pytest.mark.parametrize("options", [{"batch": 2}, {"grouped": True}, {"time_limit": 0.0}])
def test_options_that_an_asynchronous_handler_cannot_have_are_refused(options):
    async def on(context, event): ...

    with pytest.raises(ValueError, match="handler on:"):
        on_things(**options)(on)


def test_a_synchronous_handler_cannot_have_a_time_limit():
    with pytest.raises(ValueError, match="only an async def can have a time_limit"):

        @on_things(time_limit=5.0)
        def on(context, event): ...
