"""Runs the coroutines of asynchronous actors, on one event loop in a thread of the worker.

A coroutine runs before the attempt of its job: it has no unit of work, and its result becomes the
result of the actor in an ordinary attempt, which a worker thread runs.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError
from contextvars import ContextVar, copy_context
from typing import Any

import msgspec
import structlog

from rolehost.api.retries import Outcome
from rolehost.delivery.failures import as_runtime_error
from rolehost.delivery.guard import role_loop
from rolehost.delivery.jobs import ClaimedJob, EndedCoroutine
from rolehost.delivery.runner import Runner
from rolehost.roles.beats import Beats

log = structlog.get_logger(__name__)

#: The event loop is *blocked* if it does not run a callback for these seconds.
BLOCKED_SECONDS = 1.0

#: Seconds between two checks of whether a thread that waits for a coroutine was interrupted.
_INTERRUPT_SECONDS = 0.1

#: Maximum number of frames in the logged stack of a blocked loop.
_FRAMES = 20

#: Receives a job whose coroutine has ended; called in the thread of the loop.
OnEnd = Callable[[ClaimedJob], None]


class Stopped(Exception):
    """The worker stopped before the coroutine ended; the attempt is not counted."""


class Coroutines:
    """The event loop of the asynchronous actors of a process; thread-safe.

    ``limits``: actor → its time limit in seconds, or None. ``fields``: context variables for the
    id and the actor of a job.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Mapping[str, float | None],
        fields: tuple[ContextVar[Any], ContextVar[Any]],
        beats: Beats,
    ) -> None:
        self._runner = runner
        self._runtime = runner.runtime
        self._limits = limits
        self._fields = fields
        self._beats = beats
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._cancelled: set[tuple[int, int]] = set()
        self._stopping = False
        self._closed = threading.Event()
        self._ended = threading.Condition()
        self._unfinished = 0  # coroutines that were given to the loop and have not ended
        self._ticked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run_loop, name="coroutines", daemon=True)
        self._watch = threading.Thread(target=self._watch_loop, name="loop watch", daemon=True)

    def open(self) -> None:
        """Start the loop."""
        self._thread.start()
        self._watch.start()

    def start(self, jobs: Iterable[ClaimedJob], on_end: OnEnd) -> None:
        """Start the coroutines of jobs; ``on_end`` gets each job with its ``coroutine``."""
        jobs = list(jobs)
        if jobs:
            with self._ended:
                self._unfinished += len(jobs)
            self._loop.call_soon_threadsafe(self._start, jobs, on_end)

    def cancel(self, jobs: Collection[tuple[int, int]]) -> None:
        """Cancel coroutines, by ids and tokens of their jobs; each ends its job as cancelled."""
        self._loop.call_soon_threadsafe(self._cancel, jobs)

    def wait_for(self, coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Run a coroutine to its end, from a worker thread that may be interrupted meanwhile."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            while True:
                try:
                    return future.result(_INTERRUPT_SECONDS)
                except TimeoutError:
                    if future.done():
                        raise
                except CancelledError as error:
                    raise as_runtime_error(error) from error
        finally:
            future.cancel()

    def drain(self, seconds: float, cancel_seconds: float) -> None:
        """Wait for the running coroutines, then cancel them; their attempts are not counted."""
        if not self._wait_until_idle(seconds):
            self._loop.call_soon_threadsafe(self._stop)
            if not self._wait_until_idle(cancel_seconds):
                log.warning("coroutines ignore their cancellation", count=self._unfinished)

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._ended:
            return self._ended.wait_for(lambda: not self._unfinished, seconds)

    def close(self) -> None:
        """End the loop and its thread."""
        self._closed.set()
        self._watch.join()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BLOCKED_SECONDS)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        with role_loop(self._loop):
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _start(self, jobs: Iterable[ClaimedJob], on_end: OnEnd) -> None:
        for job in jobs:
            context = copy_context()
            context.run(self._fields[0].set, job.id)
            context.run(self._fields[1].set, job.actor)
            name = f"{job.actor} (job {job.id})"
            task = self._loop.create_task(self._run(job, on_end), name=name, context=context)
            self._tasks[job.id, job.token] = task

    def _cancel(self, jobs: Collection[tuple[int, int]]) -> None:
        for key in jobs:
            task = self._tasks.get(key)
            if task is not None and key not in self._cancelled:
                self._cancelled.add(key)
                task.cancel()

    def _stop(self) -> None:
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()

    async def _run(self, job: ClaimedJob, on_end: OnEnd) -> None:
        key = job.id, job.token
        began = self._runtime.clock.now()
        outcome: Outcome = None
        failure: BaseException | None = None
        try:
            outcome = await self._await_limited(job)
        except BaseException as error:  # an actor may raise anything, even SystemExit
            failure = self._failure(key, error)
        self._tasks.pop(key, None)
        cancel = int(key in self._cancelled and isinstance(failure, asyncio.CancelledError))
        self._cancelled.discard(key)
        ended = EndedCoroutine(began, outcome, failure)
        on_end(msgspec.structs.replace(job, coroutine=ended, cancel=cancel))
        with self._ended:
            self._unfinished -= 1
            self._ended.notify_all()

    async def _await_limited(self, job: ClaimedJob) -> Outcome:
        limit = self._limits[job.actor]
        try:
            async with asyncio.timeout(limit) as timeout:
                actor = self._runtime.declared.actors[job.actor]
                outcome: Outcome = await self._runner.begin(job, actor)
                return outcome
        except TimeoutError as error:
            if timeout.expired():
                raise TimeoutError(f"the time limit of {limit:g} s has passed") from error
            raise

    def _failure(self, key: tuple[int, int], error: BaseException) -> BaseException:
        """Return the error that the attempt of the job raises."""
        if isinstance(error, asyncio.CancelledError):
            if key in self._cancelled:
                return error
            if self._stopping:
                return Stopped()
        # Other errors than Exception would end a thread, or the group of the job.
        return error if isinstance(error, Exception) else as_runtime_error(error)

    def _watch_loop(self) -> None:
        """Report a blocked loop once, with the stack of its thread."""
        reported = False
        while not self._closed.wait(BLOCKED_SECONDS / 2):
            now = time.monotonic()
            if now - self._ticked_at < BLOCKED_SECONDS:
                reported = False
            elif not reported:
                reported = True
                self._report_blocked()
            self._loop.call_soon_threadsafe(self._tick)

    def _tick(self) -> None:
        self._ticked_at = time.monotonic()
        self._beats.beat("the event loop of asynchronous actors")

    def _report_blocked(self) -> None:
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = "".join(traceback.format_stack(frame, _FRAMES)) if frame else ""
        log.warning(
            "the event loop is blocked: an asynchronous actor computes or waits without await",
            actor=task.get_name() if task else "",
            stack=stack,
        )
