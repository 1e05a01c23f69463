"""Middleware around the attempts of jobs and events."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from rolehost.api import (
    Complete,
    Dead,
    Event,
    JobMiddleware,
    PluginInfo,
    Retry,
    RetryPolicy,
    Snooze,
    actor,
    handler,
    hookimpl,
)

TENANT = ContextVar("tenant", default="nobody")
ONCE = RetryPolicy(attempts=1)


class Plugin:
    """Contributes middleware and work."""

    def __init__(self, *middleware, actors=(), handlers=()):
        self._middleware = middleware
        self._actors = actors
        self._handlers = handlers

    @hookimpl
    def rolehost_plugin(self):
        names = tuple(each.name for each in self._actors)
        return PluginInfo(api=2, enqueues=names, publishes=("things",))

    @hookimpl
    def rolehost_job_middleware(self):
        return [
            JobMiddleware(name=each.__name__, around=contextmanager(each))
            for each in self._middleware
        ]

    @hookimpl
    def rolehost_actors(self):
        return list(self._actors)

    @hookimpl
    def rolehost_handlers(self):
        return list(self._handlers)


@pytest.fixture
def seen():
    """What middleware and actors note, in order."""
    return []


@pytest.fixture
def noting(seen):
    """Middleware that notes the beginning and the end of each attempt."""

    def note(execution):
        seen.append((execution.kind, execution.name, execution.attempt))
        yield
        error = execution.exception
        seen.append((execution.outcome, type(error).__name__ if error else None))

    return note


def ran(host, plugin, of):
    here = host(plugins=[plugin])
    here.services.enqueue(of)
    here.drain(raises=False)
    return here


def test_middleware_runs_around_the_attempt_and_the_first_is_the_outermost(host, seen):
    def outer(execution):
        seen.append("outer begins")
        yield
        seen.append("outer ends")

    def inner(execution):
        seen.append("inner begins")
        yield
        seen.append(f"inner ends: {execution.outcome}")

    @actor()
    def works(job):
        seen.append("works")

    ran(host, Plugin(outer, inner, actors=[works]), works)
    assert seen == [
        "outer begins", "inner begins", "works", "inner ends: completed", "outer ends"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("does", "outcome", "error"),
    [
        (lambda: None, "completed", None),
        (lambda: Retry("later"), "retrying", None),
        (lambda: Snooze(5), "snoozed", None),
        (lambda: Dead("gone"), "dead", None),
        (lambda: 1 / 0, "retrying", "ZeroDivisionError"),
        (lambda: 1, "retrying", "TypeError"),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_middleware_sees_the_outcome_and_the_exception(
    host, noting, seen, does, outcome, error, grouped
):
    @actor(grouped=grouped)
    def works(job):
        return does()

    ran(host, Plugin(noting, actors=[works]), works)
    assert seen == [("job", "works", 1), (outcome, error)]


def test_an_outcome_that_is_raised_has_its_cause_as_exception(host, noting, seen):
    @actor()
    def works(job):
        raise Retry("later") from OSError("no route")

    ran(host, Plugin(noting, actors=[works]), works)
    assert seen[-1] == ("retrying", "OSError")


def test_each_attempt_has_its_number(host, noting, seen):
    @actor(retry=RetryPolicy(attempts=2))
    def fails(job):
        raise ValueError

    here = ran(host, Plugin(noting, actors=[fails]), fails)
    here.drain(with_delays=True, raises=False)
    assert [each for each in seen if each[0] == "job"] == [("job", "fails", 1), ("job", "fails", 2)]
    assert seen[-1] == ("dead", "ValueError")


def test_an_actor_runs_in_the_context_of_the_middleware(host, seen):
    def tenant(execution):
        token = TENANT.set("ann")
        yield
        TENANT.reset(token)

    @actor()
    def works(job):
        seen.append(TENANT.get())

    ran(host, Plugin(tenant, actors=[works]), works)
    assert seen == ["ann"]
    assert TENANT.get() == "nobody"


def test_a_coroutine_and_its_completion_run_in_one_context_of_the_middleware(host, seen, noting):
    def tenant(execution):
        token = TENANT.set("ann")
        yield
        seen.append((TENANT.get(), execution.outcome))
        TENANT.reset(token)

    @actor()
    async def works(job):
        await asyncio.sleep(0)
        seen.append(TENANT.get())
        return Complete(ends)

    def ends():
        seen.append(TENANT.get())

    ran(host, Plugin(tenant, actors=[works]), works)
    assert seen == ["ann", "ann", ("ann", "completed")]


def test_a_coroutine_that_raises_is_seen(host, noting, seen):
    @actor()
    async def fails(job):
        raise ValueError

    ran(host, Plugin(noting, actors=[fails]), fails)
    assert seen == [("job", "fails", 1), ("retrying", "ValueError")]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_attempt_fails_if_its_middleware_cannot_be_entered(host, noting, seen, asynchronous):
    def broken(execution):
        raise LookupError("no tenant")
        yield

    def plain(job):
        raise AssertionError

    async def coroutine(job):
        raise AssertionError

    works = actor(name="works", retry=ONCE)(coroutine if asynchronous else plain)
    here = ran(host, Plugin(noting, broken, actors=[works]), works)
    here.assert_dead(works, error="LookupError: no tenant")
    assert seen[:2] == [("job", "works", 1), ("failed", "LookupError")]


@pytest.mark.parametrize("error", [SystemExit("no"), GeneratorExit(), KeyboardInterrupt()])
def test_whatever_a_middleware_raises_is_a_failed_attempt(host, error):
    def broken(execution):
        raise error
        yield

    @actor(retry=ONCE)
    def works(job):
        raise AssertionError

    here = ran(host, Plugin(broken, actors=[works]), works)
    here.assert_dead(works, error=type(error).__name__)


def test_an_error_after_the_attempt_is_logged_and_the_outer_middleware_ends(
    host, noting, seen, caplog
):
    def broken(execution):
        yield
        raise LookupError("the reporter is away")

    @actor()
    def works(job):
        pass

    here = ran(host, Plugin(noting, broken, actors=[works]), works)
    assert here.drain().outcomes == {}
    assert seen[-1] == ("completed", None)
    assert "a middleware failed after the attempt" in caplog.text


@pytest.mark.parametrize("batch", [1, 10])
def test_events_are_seen_too(host, noting, seen, batch):
    @handler(topic="things", group="g", batch=batch, retry=ONCE)
    def handles(context, event):
        if here.attempts.append(1) or len(here.attempts) == 1:
            raise ValueError

    here = host(plugins=[Plugin(noting, handlers=[handles])])
    here.attempts = []
    for number in range(2):
        here.publish(Event(topic="things", type="thing", data=str(number).encode()))
    here.drain(raises=False)
    assert {each[:2] for each in seen if each[0] == "event"} == {("event", "handles")}
    assert ("failed", "ValueError") in seen
    assert ("handled", None) in seen
