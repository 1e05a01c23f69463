"""A thread pool with a bounded queue, for coroutines that call blocking functions."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import TypeVar

import structlog

from rolehost.delivery.forks import call_exiting_forks
from rolehost.errors import Overloaded
from rolehost.failures import TERMINATING, as_runtime_error

log = structlog.get_logger(__name__)

T = TypeVar("T")
Session = Callable[[], AbstractContextManager[None]]

#: Maximum number of waiting calls for each thread; more are refused. For example, if functions
#: take 5 ms, the last call in the queue waits 32 x 5 = 160 ms.
QUEUE_PER_THREAD = 32


class Threads:
    """A pool of threads for the coroutines of one process."""

    def __init__(self, count: int, name: str, most: int = 0) -> None:
        """Make ``count`` threads, for up to ``most`` running and waiting calls, or more."""
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._slots = threading.Semaphore(max(most, count * (1 + QUEUE_PER_THREAD)))
        self._local = threading.local()
        self._count = count
        self._begun = 0
        self._ended = 0
        self._ends = itertools.count(1)
        self._seen = 0
        self._moved = time.monotonic()

    async def run(self, work: Callable[[], T], session: Session) -> T:
        """Call ``work`` in a thread, inside a session, with this task's context variables.

        If the waiting task is cancelled, a call that has begun runs to its end, and its result is
        dropped. A call that has not begun is skipped. Raises Overloaded if too many calls are
        waiting, and RuntimeError instead of ``SystemExit`` and similar.
        """
        if getattr(self._local, "busy", False):
            # This event loop runs in a thread of the pool. Waiting for another one could deadlock.
            return _call(work, session)
        if not self._slots.acquire(blocking=False):
            raise Overloaded("too many calls wait for a thread of this process")
        context = copy_context()
        try:
            future = self._executor.submit(context.run, self._run_in_pool, work, session)
        except BaseException:
            self._slots.release()
            raise
        self._begun += 1
        future.add_done_callback(self._on_done)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(_log_dropped)
            raise

    def stuck(self, seconds: float) -> bool:
        """Return whether calls are waiting and no thread has finished a call for ``seconds``.

        The thread that begins the calls must also call this method, repeatedly.
        """
        now = time.monotonic()
        if self._ended != self._seen or self._begun - self._ended <= self._count:
            self._seen, self._moved = self._ended, now
        return now - self._moved >= seconds

    def close(self) -> None:
        """Wait for running calls and end the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run_in_pool(self, work: Callable[[], T], session: Session) -> T:
        self._local.busy = True
        try:
            return _call(work, session)
        finally:
            self._local.busy = False

    def _on_done(self, _future: Future[T]) -> None:
        self._ended = next(self._ends)
        self._slots.release()


def _call(work: Callable[[], T], session: Session) -> T:
    try:
        with session():
            return call_exiting_forks(work)
    except TERMINATING as error:
        if isinstance(error, Exception):  # an ExceptionGroup
            raise
        # This error would end the event loop and with it the process.
        raise as_runtime_error(error) from error


def _log_dropped(future: Future[T]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        log.error("a function failed after its caller was cancelled", exc_info=error)
