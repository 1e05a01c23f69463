"""Processes with unavailable backends, or backends that refuse their settings."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from rolehost.api import Backend, StorageRefused, StorageUnavailable, hookimpl
from rolehost.roles.lifecycle import (
    START_BACKOFF,
    run_interruptibly,
    start_delay,
    start_when_available,
)
from rolehost.roles.process import Process

from tests.http.compositions import compose


class Cache:
    """A cache with pings that raise the given errors, each one once."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = threading.Semaphore(0)

    def ping(self) -> None:
        self.asked.release()
        if self.errors:
            raise self.errors.pop(0)

    def close(self) -> None:
        return


def process(
    cache: Cache, said: list[str] | None = None, *, optional: tuple[str, ...] = ()
) -> Process:
    backend = Backend(
        kind="cache", name="fake", factory=lambda: cache, capabilities=frozenset({"ttl"})
    )
    reported = [] if said is None else said
    composition = compose(backends={"cache": backend}, optional=optional)
    return Process(composition, role="http", announce=reported.append)


def test_it_logs_that_it_waits_and_starts_when_the_backend_answers() -> None:
    said: list[str] = []
    waits = process(Cache(StorageUnavailable("away"), StorageUnavailable("away")), said)
    assert start_when_available(waits, threading.Event())
    assert said == ["waiting", "waiting"]
    waits.stop()


def test_an_optional_backend_is_not_waited_for() -> None:
    said: list[str] = []
    goes_on = process(Cache(StorageUnavailable("away")), said, optional=("cache",))
    assert start_when_available(goes_on, threading.Event())
    assert said == []
    goes_on.stop()


def test_a_refusal_of_an_optional_backend_still_ends_the_start() -> None:
    ends = process(Cache(StorageRefused("wrong password")), optional=("cache",))
    with pytest.raises(StorageRefused):
        start_when_available(ends, threading.Event())


def test_a_refusal_ends_the_wait() -> None:
    waits = process(Cache(StorageUnavailable("away"), StorageRefused("no such database")))
    with pytest.raises(StorageRefused):
        start_when_available(waits, threading.Event())


def test_a_restarted_process_waits_after_a_refusal_too() -> None:
    waits = process(Cache(StorageRefused("wrong password")))
    assert start_when_available(waits, threading.Event(), raise_refused=False)
    waits.stop()


def test_a_stop_signal_ends_the_wait() -> None:
    cache = Cache(*[StorageUnavailable("away")] * 1000)
    stop = threading.Event()
    ended: list[bool] = []
    thread = threading.Thread(
        target=lambda: ended.append(start_when_available(process(cache), stop))
    )
    thread.start()
    cache.asked.acquire()
    stop.set()
    thread.join(30)
    assert ended == [False]


def test_a_stop_signal_does_not_wait_for_a_connection_attempt() -> None:
    never, stop = threading.Event(), threading.Event()
    stop.set()
    assert not run_interruptibly(lambda: never.wait() and None, stop)
    never.set()


def test_a_plugin_that_finds_storage_gone_is_started_once_more() -> None:
    calls: list[str] = []

    class Module:
        @hookimpl
        def rolehost_start(self, context: Any) -> None:
            calls.append("start")
            if len(calls) == 1:
                raise StorageUnavailable("gone again")

    composition = compose(module=Module())
    waits = Process(composition, role="http")
    assert start_when_available(waits, threading.Event())
    assert calls == ["start", "start"]
    waits.stop()


def test_a_missing_topic_is_reported_before_the_start() -> None:
    class Stream(Cache):
        def verify(self, topics: Any) -> None:
            raise StorageRefused(f"missing {sorted(topics)}")

    composition = compose(
        backends={
            "stream": Backend(kind="stream", name="fake", factory=Stream, capabilities=frozenset())
        }
    )
    (plugin,) = composition.plugins
    publishing = replace(plugin, info=replace(plugin.info, publishes=("orders",)))
    with pytest.raises(StorageRefused, match="orders"):
        Process(replace(composition, plugins=(publishing,)), role="http").ping()


def test_delays_double_up_to_a_bound_and_have_jitter() -> None:
    delays = [start_delay(attempt) for attempt in range(1, 13)]
    assert delays[0] < 0.25
    assert all(START_BACKOFF.longest / 2 <= delay <= START_BACKOFF.longest for delay in delays[6:])
    assert len(set(delays)) == len(delays)
