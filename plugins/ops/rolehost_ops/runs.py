"""Runs the blocking work of probes in separate threads, bounded, with a timeout.

Probes run on the event loop and do not use the thread pool of the responders. A saturated pool
must not make a healthy process look dead, and a hanging check must not exhaust the pool.
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
    """The timeout has passed; the run continues."""


class Runs:
    """Runs functions by key, at most one run for each key; concurrent callers share it.

    A check that hangs blocks one thread only, however often it is probed. The threads are
    daemon threads, so they do not keep the process alive.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[Any]] = {}

    async def run(self, key: Hashable, fn: Callable[[], T], timeout: float) -> T:
        """Return the result of ``fn``, or of the current run with this key.

        Args:
            key: identifies the run.
            fn: called in a thread if there is no current run with the key.
            timeout: seconds to wait; the run continues after that.

        Raises:
            Overdue: the timeout has passed.
            Exception: the exception that ``fn`` raised.
        """
        future = asyncio.wrap_future(self._begin(key, fn))
        # asyncio.wait does not cancel the future, which other callers may share.
        done, _ = await asyncio.wait((future,), timeout=timeout)
        if not done:
            # Retrieve a later exception, so that asyncio does not log it as never retrieved.
            future.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise Overdue(f"no answer within {timeout:g} s")
        return future.result()

    def _begin(self, key: Hashable, fn: Callable[[], T]) -> Future[T]:
        with self._lock:
            running = self._running.get(key)
            if running is not None:
                return running
            future: Future[T] = Future()
            # After this, callers cannot cancel the future.
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
        except BaseException as error:  # sys.exit() in a check must not end the process
            failure = RuntimeError(f"raised {type(error).__name__}")
            outcome = functools.partial(future.set_exception, failure)
        with self._lock:
            self._running.pop(key, None)
        outcome()
