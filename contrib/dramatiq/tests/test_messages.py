"""Dramatiq actors as they are, run as durable jobs."""

from __future__ import annotations

import asyncio

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import (
    AsyncIO,
    CurrentMessage,
    GroupCallbacks,
    Middleware,
    SkipMessage,
    TimeLimitExceeded,
)
from dramatiq.rate_limits.backends import StubBackend as StubLimits
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend as StubResults
from rolehost.api import PayloadError
from rolehost_dramatiq import DramatiqActors
from rolehost_dramatiq.broker import NotConnected

from .conftest import plugin_of


def test_a_sent_message_runs_as_a_job(running, existing):
    ran = []

    @dramatiq.actor(queue_name="mail", priority=3)
    def welcome(address, *, language="en"):
        ran.append((address, language))

    here = running(welcome)
    welcome.send("ann", language="de")
    (job,) = here.enqueued
    assert (job.actor, job.queue, job.priority) == ("welcome", "mail", 3)
    assert here.drain().outcomes == {"completed": 1}
    assert ran == [("ann", "de")]


def test_messages_of_a_unit_of_work_exist_only_if_it_commits(running, existing):
    @dramatiq.actor
    def welcome(address):
        pass

    here = running(welcome)
    with pytest.raises(RuntimeError), here.services.unit_of_work():
        welcome.send("ann")
        raise RuntimeError
    assert here.enqueued == []


def test_a_failed_message_is_retried_with_dramatiqs_back_off_and_then_dead(running, existing):
    attempts = []

    @dramatiq.actor(max_retries=2, min_backoff=10_000, max_backoff=60_000)
    def fails():
        attempts.append(CurrentMessage.get_current_message().options.get("retries", 0))
        raise ValueError("no")

    existing.add_middleware(CurrentMessage())
    here = running(fails)
    fails.send()
    here.drain(raises=False)
    (job,) = here.enqueued
    wait = (job.run_at - here.clock.now()) / 1000
    assert job.state == "retrying"
    assert 10 <= wait <= 20, "Dramatiq's back-off has jitter"
    here.drain(with_delays=True, raises=False)
    assert attempts == [0, 1, 2]
    here.assert_dead(fails.actor_name, error="ValueError: no")


def test_a_failed_attempt_sends_nothing_but_what_the_middleware_sends(running, existing):
    @dramatiq.actor
    def other(message, *rest):
        notes.append((message["actor_name"], rest))

    @dramatiq.actor(max_retries=0, on_retry_exhausted="other", on_failure="other")
    def fails():
        other.send({"actor_name": "sent by the attempt"})
        raise ValueError("no")

    notes = []
    here = running(other, fails)
    fails.send()
    here.drain(raises=False)
    assert sorted(notes, key=str) == [
        ("fails", ({"retries": 0, "max_retries": 0},)),
        ("fails", ({"type": "ValueError", "message": "no"},)),
    ]


def test_what_middleware_sends_after_a_failure_commits_with_the_outcome(running, existing):
    @dramatiq.actor
    def other(message, *rest):
        ran.append(message["message_id"])

    @dramatiq.actor(max_retries=0, on_failure="other")
    def fails():
        raise ValueError("no")

    ran = []
    here = running(other, fails)
    sent = fails.send()
    with here.fail_at("ledger.before_complete", kill=True):
        here.drain(raises=False)
    here.restart()
    here.drain(raises=False)
    assert ran == [sent.message_id]


@pytest.mark.parametrize(
    ("options", "error", "state"),
    [
        ({"throws": ValueError}, ValueError("no"), "dead"),
        ({"retry_when": lambda retries, error: False}, ValueError("no"), "dead"),
        ({"retry_when": lambda retries, error: True, "max_retries": 0}, ValueError, "retrying"),
        ({}, SystemExit("no"), "retrying"),
        ({}, TimeLimitExceeded("no"), "retrying"),
    ],
)
def test_the_options_of_an_actor_decide_about_a_failure(running, existing, options, error, state):
    @dramatiq.actor(**options)
    def fails():
        raise error

    here = running(fails)
    fails.send()
    assert here.drain(raises=False).outcomes == {state: 1}


def test_an_actor_that_raises_dramatiqs_retry_sets_the_delay(running, existing):
    @dramatiq.actor
    def waits():
        raise dramatiq.Retry("later", delay=90_000)

    here = running(waits)
    waits.send()
    here.drain(raises=False)
    (job,) = here.enqueued
    assert job.run_at == here.clock.now() + 90_000


def test_a_delayed_message_waits(running, existing):
    @dramatiq.actor
    def later():
        pass

    here = running(later)
    later.send_with_options(delay=5000)
    assert here.drain().outcomes == {}
    here.clock.advance(5)
    assert here.drain().outcomes == {"completed": 1}


def test_pipelines_and_groups_run(running, existing):
    @dramatiq.actor
    def add(one, two):
        return one + two

    @dramatiq.actor
    def note(total):
        noted.append(total)

    noted = []
    here = running(add, note)
    (add.message(1, 2) | add.message(10) | note.message()).run()
    dramatiq.group([note.message(7), note.message(8)]).run()
    here.drain()
    assert sorted(noted) == [7, 8, 13]


def test_the_next_message_of_a_pipeline_commits_with_the_end_of_the_one_before(running, existing):
    @dramatiq.actor
    def one():
        ran.append("one")
        return 1

    @dramatiq.actor
    def two(result):
        ran.append("two")

    ran = []
    here = running(one, two)
    (one.message() | two.message()).run()
    with here.fail_at("ledger.before_complete", kill=True):
        here.drain()
    here.restart()
    here.drain()
    assert ran == ["one", "one", "two"]


def test_results_callbacks_and_the_callback_of_a_group_run(running, existing):
    existing.add_middleware(Results(backend=StubResults()))
    existing.add_middleware(GroupCallbacks(StubLimits()))

    @dramatiq.actor(store_results=True)
    def square(number):
        return number * number

    @dramatiq.actor
    def note(*what):
        noted.append(what)

    noted = []
    here = running(square, note)
    message = square.send_with_options(args=(3,), on_success=note)
    group = dramatiq.group([square.message(1), square.message(2)])
    group.add_completion_callback(note.message("both"))
    group.run()
    here.drain()
    assert message.get_result() == 9
    assert list(group.get_results()) == [1, 4]
    assert [what[-1] for what in sorted(noted, key=str)] == ["both", 9]


def test_third_party_middleware_sees_every_signal(running, existing):
    class Recorder(Middleware):
        def __getattribute__(self, name):
            if name.startswith(("before_", "after_")) and "declare" not in name:
                return lambda broker, *args, **kwargs: seen.append((name, *kwargs))
            return super().__getattribute__(name)

    @dramatiq.actor
    def plain():
        pass

    seen = []
    existing.add_middleware(Recorder())
    here = running(plain)
    plain.send()
    here.drain()
    assert seen == [
        ("before_enqueue",),
        ("after_enqueue",),
        ("after_process_boot",),
        ("before_worker_boot",),
        ("after_worker_boot",),
        ("before_process_message",),
        ("after_process_message", "result"),
        ("before_ack",),
        ("after_ack",),
    ]


def test_a_message_that_middleware_skips_is_done_and_one_that_it_fails_is_dead(running, existing):
    class Skips(Middleware):
        def before_process_message(self, broker, message):
            if message.args[0] == "fail":
                message.fail()
            raise SkipMessage("not today")

    @dramatiq.actor
    def plain(what):
        raise AssertionError

    existing.add_middleware(Skips())
    here = running(plain)
    plain.send("skip")
    plain.send("fail")
    assert here.drain(raises=False).outcomes == {"completed": 1, "dead": 1}
    here.assert_dead("plain", error="not today")


def test_an_asynchronous_actor_runs_on_dramatiqs_event_loop(running, existing):
    existing.add_middleware(AsyncIO())

    @dramatiq.actor
    async def waits(number):
        await asyncio.sleep(0)
        ran.append(number)

    ran = []
    here = running(waits)
    waits.send(1)
    here.drain()
    assert ran == [1]


def test_the_time_limit_of_an_actor_is_that_of_its_options_or_of_the_broker(existing):
    @dramatiq.actor
    def plain():
        pass

    @dramatiq.actor(time_limit=1500)
    def quick():
        pass

    @dramatiq.actor(time_limit=float("inf"))
    def endless():
        pass

    made = {each.name: each.time_limit for each in DramatiqActors(plain, quick, endless).actors}
    assert made == {"plain": 600, "quick": 1.5, "endless": None}


def test_a_message_that_json_cannot_hold_is_refused_at_the_call(running, existing):
    @dramatiq.actor
    def welcome(address):
        pass

    here = running(welcome)
    with pytest.raises(PayloadError, match="welcome"):
        welcome.send(object())
    assert here.enqueued == []


def test_a_message_of_another_actor_goes_to_the_broker_that_was_set_before(running, existing):
    @dramatiq.actor
    def ours():
        theirs.send()

    @dramatiq.actor
    def theirs():
        pass

    here = running(ours)
    ours.send()
    here.drain()
    assert existing.queues["default"].qsize() == 1
    here.refute_enqueued("theirs")


def test_pipelines_cross_the_actors_of_two_plugins(host, existing):
    @dramatiq.actor
    def one():
        return 1

    @dramatiq.actor
    def two(result):
        ran.append(result)

    ran = []
    here = host(plugins={"one": plugin_of(one).plugin, "two": plugin_of(two).plugin})
    (one.message() | two.message()).run()
    here.drain()
    assert ran == [1]
    assert existing.queues["default"].qsize() == 0
    here.close()
    assert dramatiq.get_broker() is existing


def test_an_exception_without_a_text_is_a_failed_attempt(running, existing):
    class Odd(Exception):
        def __str__(self):
            raise ValueError

    @dramatiq.actor(max_retries=0)
    def fails():
        raise Odd

    here = running(fails)
    fails.send()
    here.drain(raises=False)
    here.assert_dead("fails", error="Odd")


def test_a_process_that_rolehost_did_not_start_gets_a_clear_error(existing):
    @dramatiq.actor
    def welcome():
        pass

    actors = DramatiqActors(welcome)
    welcome.send()  # not connected: still the old broker
    assert existing.queues["default"].qsize() == 1
    with pytest.raises(NotConnected, match="connect"):
        actors.broker.enqueue(welcome.message())


def test_the_old_broker_is_back_after_the_end(host, existing):
    @dramatiq.actor
    def welcome():
        pass

    here = host(plugins=[plugin_of(welcome).plugin])
    assert welcome.broker is dramatiq.get_broker() is not existing
    here.close()
    assert welcome.broker is dramatiq.get_broker() is existing


def test_wrong_sources_are_refused(existing):
    @dramatiq.actor
    def ours():
        pass

    @dramatiq.actor(broker=StubBroker())
    def theirs():
        pass

    with pytest.raises(ValueError, match="one Dramatiq broker, got 2 brokers of ours, theirs"):
        DramatiqActors(ours, theirs)
    with pytest.raises(ValueError, match="asyncio has no Dramatiq actors"):
        DramatiqActors(asyncio)
    with pytest.raises(TypeError, match="a Dramatiq actor or a module"):
        DramatiqActors(print)
