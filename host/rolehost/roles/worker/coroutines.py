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
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from io import StringIO
from math import inf
from typing import Any

import msgspec
import structlog

from rolehost import joblog
from rolehost.api.retries import Outcome
from rolehost.delivery.around import Around
from rolehost.delivery.guard import role_loop
from rolehost.delivery.jobs import ClaimedJob, EndedCoroutine
from rolehost.delivery.runner import Runner
from rolehost.failures import as_runtime_error, report
from rolehost.roles.beats import Beats
from rolehost.roles.worker.limits import LATE, PASSED

log = structlog.get_logger(__name__)

#: The event loop is *blocked* if it does not run a callback for these seconds.
BLOCKED_SECONDS = 1.0

#: Seconds between two checks of whether a thread that waits for a coroutine was interrupted.
_INTERRUPT_SECONDS = 0.1

#: Maximum number of frames in a logged stack.
_FRAMES = 20

#: Receives a job whose coroutine has ended; called in the thread of the loop.
OnEnd = Callable[[ClaimedJob], None]


class Stopped(Exception):
    """The worker stopped before the coroutine ended; the attempt is not counted."""


class Task(asyncio.Task[Any]):
    """A task on the loop. ``job_id``: the job whose coroutine runs in it, or has created it."""

    job_id: object = None


class Running:
    """A job whose coroutine runs; used by the thread of the loop.

    ``began``: when the coroutine began, milliseconds; 0 before. ``cause``: the error that ends
    the job if the coroutine is cancelled; None: the host has not cancelled it. ``timer`` is that
    of its time limit. ``expired_at``: when the limit has passed, in the time of the loop.
    ``around``: the middleware around the attempt, if it was entered.
    """

    __slots__ = (
        "around",
        "began",
        "cause",
        "context",
        "expired_at",
        "job",
        "on_end",
        "task",
        "timer",
    )

    def __init__(self, job: ClaimedJob, on_end: OnEnd, context: Context) -> None:
        self.job = job
        self.on_end = on_end
        self.context = context
        self.around: Around | None = None
        self.began = 0
        self.cause: BaseException | None = None
        self.expired_at = inf
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self, cause: BaseException) -> None:
        """Cancel the coroutine; the first cause is that of the end."""
        self.cause = self.cause or cause
        # A task that is cancelled before its first step would never run, and its job never end.
        if self.began and self.task is not None:
            self.task.cancel()

    def ended(self, outcome: Outcome, error: BaseException | None) -> ClaimedJob:
        """Return the job with the end of its coroutine."""
        cancelled = error is not None and issubclass(type(error), asyncio.CancelledError)
        return msgspec.structs.replace(
            self.job,
            coroutine=EndedCoroutine(
                self.began, outcome, error, self.around, self.context[joblog.kept]
            ),
            cancel=int(cancelled),
        )


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
        self._loop.set_task_factory(self._make_task)
        #: Ids and tokens of the jobs whose coroutines run.
        self.running: dict[tuple[int, int], Running] = {}
        self._stopping = False
        self._closing = False
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

    def run(self, job: ClaimedJob) -> ClaimedJob:
        """Run the coroutine of a job while this worker thread waits, which may be interrupted."""
        ended: Future[ClaimedJob] = Future()
        self.start([job], ended.set_result)
        while True:
            with suppress(TimeoutError):
                return ended.result(_INTERRUPT_SECONDS)

    def late(self, seconds: float) -> list[Running]:
        """Return the coroutines that go on ``seconds`` after their time limits.

        A blocked loop cannot cancel any coroutine. Then only the one that blocks it may be late:
        also if it blocks the loop for half of the time after which the supervisor would replace
        this process, because no time limit may have passed by then.
        """
        running = list(self.running.values())
        since = self._loop.time() - seconds
        if not self.blocked:
            return [each for each in running if each.expired_at <= since]
        for_long = self._beats.hang and self._silence >= self._beats.hang / 2
        blocking = getattr(asyncio.current_task(self._loop), "job_id", None)
        return [
            each
            for each in running
            if each.job.id == blocking
            and (for_long or (each.timer is not None and each.timer.when() <= since))
        ]

    @property
    def blocked(self) -> bool:
        """Whether a coroutine blocks the loop."""
        return self._silence >= BLOCKED_SECONDS

    @property
    def _silence(self) -> float:
        return time.monotonic() - self._ticked_at

    def stack(self, job: ClaimedJob) -> str:
        """Return the stack of the coroutine of a job, or of the loop if that is blocked."""
        running = self.running.get((job.id, job.token))
        if self.blocked or running is None or running.task is None:
            return stack_of(self._thread.ident)
        text = StringIO()
        running.task.print_stack(limit=_FRAMES, file=text)
        return text.getvalue()

    def end_late(self, seconds: float) -> None:
        """Let the jobs of late coroutines fail. They go on, so this process must end soon."""
        for running in self.late(seconds):
            text = f"it has blocked the event loop for {self._silence:.0f} s"
            if running.timer is not None and running.timer.when() <= self._loop.time():
                text = LATE.format(self._limits[running.job.actor])
            # The task has not left the context of its middleware, so the failure is another one.
            running.around = None
            self._end(running, None, TimeoutError(text))

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
        """Cancel the tasks that coroutines have left behind; end the loop and its thread."""
        self._closed.set()
        self._watch.join()
        self._loop.call_soon_threadsafe(self._begin_to_close)
        self._thread.join(2 * BLOCKED_SECONDS)

    def _begin_to_close(self) -> None:
        self._closing = True
        self._loop.stop()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        with role_loop(self._loop):
            while not self._closing:
                self._run_safely(self._loop.run_forever)
            self._run_safely(lambda: self._loop.run_until_complete(self._end_tasks()))
            self._loop.close()

    def _run_safely(self, run: Callable[[], object]) -> None:
        """Run the loop; report what ends it: SystemExit of a task, or of a callback."""
        try:
            run()
        except BaseException as error:
            report(log.error, "code on the event loop tried to end the process", error)

    async def _end_tasks(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=BLOCKED_SECONDS)
        await self._loop.shutdown_asyncgens()

    def _start(self, jobs: Iterable[ClaimedJob], on_end: OnEnd) -> None:
        for job in jobs:
            context = copy_context()
            context.run(self._fields[0].set, job.id)
            context.run(self._fields[1].set, job.actor)
            context.run(joblog.kept.set, joblog.new())
            name = f"{job.actor} (job {job.id})"
            running = Running(job, on_end, context)
            running.task = self._loop.create_task(self._run(running), name=name, context=context)
            limit = self._limits[job.actor]
            if limit is not None:
                running.timer = self._loop.call_later(limit, self._expire, running)
            self.running[job.id, job.token] = running

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> Task:
        task = Task(coroutine, loop=loop, **options)
        context = options.get("context") or copy_context()
        task.job_id = context.get(self._fields[0])
        return task

    def _expire(self, running: Running) -> None:
        """Cancel a coroutine whose time limit has passed."""
        limit = self._limits[running.job.actor]
        running.cancel(TimeoutError(PASSED.format(limit)))
        running.expired_at = self._loop.time()

    def _cancel(self, jobs: Collection[tuple[int, int]]) -> None:
        for key in jobs:
            running = self.running.get(key)
            if running is not None and running.cause is None:
                running.cancel(asyncio.CancelledError())

    def _stop(self) -> None:
        self._stopping = True
        for running in list(self.running.values()):
            running.cancel(Stopped())

    async def _run(self, running: Running) -> None:
        job = running.job
        running.began = self._runtime.clock.now()
        outcome: Outcome = None
        failure = running.cause
        try:
            if failure is None:
                running.around = self._enter(running)
                actor = self._runtime.declared.actors[job.actor]
                outcome = await self._runner.begin(job, actor)
        except BaseException as error:  # an actor may raise anything, even SystemExit
            failure = self._failure(running, error)
        if running.timer is not None:
            running.timer.cancel()
        if running.around is None:
            self._end(running, outcome, failure)
        else:
            # The attempt goes on in the context of this task, which must have ended then.
            self._loop.call_soon(self._end, running, outcome, failure)

    def _enter(self, running: Running) -> Around | None:
        """Enter the middleware around the attempt, in the context of the task."""
        around = self._runner.enter(running.job)
        if around is not None:
            around.context = running.context
        return around

    def _end(self, running: Running, outcome: Outcome, error: BaseException | None) -> None:
        """End the job of a coroutine, unless that was done already."""
        if self.running.pop((running.job.id, running.job.token), None) is None:
            return
        running.on_end(running.ended(outcome, error))
        with self._ended:
            self._unfinished -= 1
            self._ended.notify_all()

    def _failure(self, running: Running, error: BaseException) -> BaseException:
        """Return the error that the attempt of the job raises."""
        # Not isinstance(), because it reads the error's __class__, which may be overridden.
        if issubclass(type(error), asyncio.CancelledError) and running.cause is not None:
            return running.cause
        # Other errors than Exception would end a thread, or the group of the job.
        return error if issubclass(type(error), Exception) else as_runtime_error(error)

    def _watch_loop(self) -> None:
        """Report a blocked loop once, with the stack of its thread."""
        reported = False
        while not self._closed.wait(BLOCKED_SECONDS / 2):
            if not self.blocked:
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
        log.warning(
            "the event loop is blocked: an asynchronous actor computes or waits without await",
            actor=task.get_name() if task else "",
            job_id=getattr(task, "job_id", None),
            stack=stack_of(self._thread.ident),
        )


def stack_of(thread: int | None) -> str:
    """Return the stack of a thread as text; empty if it has ended."""
    frame = sys._current_frames().get(thread or 0)
    return "".join(traceback.format_stack(frame, _FRAMES)) if frame else ""
