"""Blocking work that probes wait for: in threads of its own, bounded, with a timeout.

Probes run on the event loop and do not take the threads of the responders: a saturated pool
must not make a healthy process look dead, and a hanging check must not use the pool up.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Overdue(Exception):
    """A run took longer than its waiter would wait; it goes on."""


class Runs:
    """Runs functions by key, each at most once at a time; whoever asks meanwhile joins in.

    So a check that hangs holds one thread, however often it is probed. The threads are
    daemons: none keeps the process alive.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[Any]] = {}

    async def run(self, key: Hashable, fn: Callable[[], T], timeout: float) -> T:
        """Return what ``fn`` returns, or what the run of this key under way does.

        Args:
            key: what is run.
            fn: called in a thread when no run of the key is under way.
            timeout: seconds to wait; the run goes on after it.

        Raises:
            Overdue: it took longer.
            Exception: what ``fn`` raised.
        """
        future = asyncio.wrap_future(self._begin(key, fn))
        # Waiting cancels nothing: a run is shared, so one waiter's end must not be everybody's.
        done, _ = await asyncio.wait((future,), timeout=timeout)
        if not done:
            # Its failure, when it comes, is for those who still wait.
            future.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise Overdue(f"no answer within {timeout:g} s")
        return future.result()

    def _begin(self, key: Hashable, fn: Callable[[], T]) -> Future[T]:
        with self._lock:
            running = self._running.get(key)
            if running is not None:
                return running
            future: Future[T] = Future()
            # A started future cannot be cancelled by one of those who wait for it.
            future.set_running_or_notify_cancel()
            self._running[key] = future
        thread = threading.Thread(
            target=self._call, args=(key, fn, future), name=f"ops-{key}", daemon=True
        )
        thread.start()
        return future

    def _call(self, key: Hashable, fn: Callable[[], T], future: Future[T]) -> None:
        outcome: Callable[[], None]
        try:
            result = fn()
            outcome = functools.partial(future.set_result, result)
        except Exception as error:
            outcome = functools.partial(future.set_exception, error)
        except BaseException as error:  # a check that calls sys.exit() ends no process
            failure = RuntimeError(f"raised {type(error).__name__}")
            outcome = functools.partial(future.set_exception, failure)
        with self._lock:
            self._running.pop(key, None)
        outcome()
