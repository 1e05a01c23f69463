"""Runs the coroutines of asynchronous actors or handlers, on one event loop in a thread.

A coroutine runs before the attempt of its job or event: it has no unit of work, and its result
becomes the result of the function in an ordinary attempt, which another thread runs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from math import inf
from typing import Any

import structlog
from structlog.contextvars import get_contextvars

from rolehost.delivery.around import Around
from rolehost.delivery.coroutines import EndedCoroutine, Stopping
from rolehost.delivery.guard import role_loop
from rolehost.failures import as_runtime_error, report
from rolehost.roles.beats import Beats
from rolehost.roles.stuck import FRAMES, Stuck, stack_of

log = structlog.get_logger(__name__)

#: The event loop is *blocked* if it does not run a callback for these seconds.
BLOCKED_SECONDS = 1.0

#: Seconds between two checks of whether a thread that waits for a coroutine was interrupted.
_INTERRUPT_SECONDS = 0.1

#: The errors of an attempt whose time limit has passed, and of one that goes on; both with the
#: seconds.
PASSED = "the time limit of {:g} s has passed"
LATE = PASSED + ", and it did not end"

#: The key of the attempt whose coroutine runs in this context.
_KEY: ContextVar[Hashable] = ContextVar("rolehost_coroutine", default=None)


class Task(asyncio.Task[Any]):
    """A task on the loop. ``key``: the attempt whose coroutine runs in it, or has created it."""

    key: Hashable = None


@dataclass(slots=True, eq=False)
class Running:
    """An attempt whose coroutine runs; used by the thread of the loop.

    ``key``: unique among those that run. ``bound``: context variables, with their values.
    ``limit``: seconds, or None. ``enter`` enters the middleware around the attempt, and ``begin``
    calls the function. ``on_end`` gets the end of the coroutine, in the thread of the loop.
    ``began``: when the coroutine began, milliseconds; 0 before. ``cause``: the error that ends the
    attempt if the coroutine is cancelled; None: the host has not cancelled it. ``timer`` is that of
    its time limit. ``expired_at``: when the limit has passed, in the time of the loop. ``around``:
    the middleware around the attempt, if it was entered.
    """

    key: Hashable
    name: str
    bound: Mapping[ContextVar[Any], Any]
    limit: float | None
    enter: Callable[[], Around | None]
    begin: Callable[[], Awaitable[Any]]
    on_end: Callable[[EndedCoroutine], object]
    context: Context = field(default_factory=copy_context)
    around: Around | None = None
    began: int = 0
    cause: BaseException | None = None
    expired_at: float = inf
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        for variable, value in {_KEY: self.key, **self.bound}.items():
            self.context.run(variable.set, value)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its log lines, by name."""
        return self.context.copy().run(get_contextvars)

    def cancel(self, cause: BaseException) -> None:
        """Cancel the coroutine; the first cause is that of the end."""
        self.cause = self.cause or cause
        # A task that is cancelled before its first step would never run, and never end.
        if self.began and self.task is not None:
            self.task.cancel()


class Coroutines:
    """The event loop of the asynchronous functions of a process; thread-safe.

    ``now`` returns the time, milliseconds.
    """

    def __init__(self, now: Callable[[], int], beats: Beats) -> None:
        self._now = now
        self._beats = beats
        #: The attempts whose coroutines run, by their keys.
        self.running: dict[Any, Running] = {}
        self._stopping = False
        self._closing = False
        self._closed = threading.Event()
        self._ended = threading.Condition()
        self._unfinished = 0  # coroutines that were given to the loop and have not ended
        self._ticked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run_loop, name="coroutines", daemon=True)
        self._watch = threading.Thread(target=self._watch_loop, name="loop watch", daemon=True)

    def open(self) -> None:
        """Start the loop; without that, no coroutine may be started."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._make_task)
        self._thread.start()
        self._watch.start()

    def start(self, attempts: Collection[Running]) -> None:
        """Start the coroutines of attempts."""
        if attempts:
            with self._ended:
                self._unfinished += len(attempts)
            self._loop.call_soon_threadsafe(self._start, attempts)

    def cancel(self, keys: Collection[Hashable], cause: type[BaseException]) -> None:
        """Cancel the coroutines of attempts by their keys; each ends with the ``cause``."""
        self._loop.call_soon_threadsafe(self._cancel, keys, cause)

    def run(self, make: Callable[[Callable[..., None]], Running]) -> Any:
        """Run a coroutine while the calling thread waits, which may be interrupted.

        ``make`` returns the attempt; it gets the function that ends the wait with a result.
        """
        ended: Future[Any] = Future()
        self.start([make(ended.set_result)])
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
        if not running:
            return []
        since = self._loop.time() - seconds
        if not self.blocked:
            return [each for each in running if each.expired_at <= since]
        for_long = self._beats.hang and self._silence >= self._beats.hang / 2
        blocking = getattr(asyncio.current_task(self._loop), "key", None)
        return [
            each
            for each in running
            if each.key == blocking
            and (for_long or (each.timer is not None and each.timer.when() <= since))
        ]

    @property
    def blocked(self) -> bool:
        """Whether a coroutine blocks the loop."""
        return self._silence >= BLOCKED_SECONDS

    @property
    def _silence(self) -> float:
        return time.monotonic() - self._ticked_at

    def stuck(self, seconds: float) -> list[Stuck]:
        """Return the coroutines that are :meth:`late` for the search for stuck attempts."""
        return [
            Stuck(each.name, each.fields, partial(self._stack, each)) for each in self.late(seconds)
        ]

    def _stack(self, running: Running) -> str:
        """Return the stack of a coroutine, or of the loop if that is blocked."""
        if self.blocked or running.task is None:
            return stack_of(self._thread.ident)
        text = StringIO()
        running.task.print_stack(limit=FRAMES, file=text)
        return text.getvalue()

    def end_late(self, seconds: float) -> None:
        """Let the attempts of late coroutines fail. They go on, so this process must end soon."""
        for running in self.late(seconds):
            text = f"it has blocked the event loop for {self._silence:.0f} s"
            if running.timer is not None and running.timer.when() <= self._loop.time():
                text = LATE.format(running.limit)
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
        if not self._thread.is_alive():
            return
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

    def _start(self, attempts: Iterable[Running]) -> None:
        for running in attempts:
            if self._stopping:
                running.cancel(Stopping())
            running.task = self._loop.create_task(
                self._run(running), name=running.name, context=running.context
            )
            if running.limit is not None:
                running.timer = self._loop.call_later(running.limit, self._expire, running)
            self.running[running.key] = running

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> Task:
        task = Task(coroutine, loop=loop, **options)
        context = options.get("context") or copy_context()
        task.key = context.get(_KEY)
        return task

    def _expire(self, running: Running) -> None:
        """Cancel a coroutine whose time limit has passed."""
        running.cancel(TimeoutError(PASSED.format(running.limit)))
        running.expired_at = self._loop.time()

    def _cancel(self, keys: Collection[Hashable], cause: type[BaseException]) -> None:
        for key in keys:
            running = self.running.get(key)
            if running is not None and running.cause is None:
                running.cancel(cause())

    def _stop(self) -> None:
        self._stopping = True
        for running in self.running.values():
            running.cancel(Stopping())

    async def _run(self, running: Running) -> None:
        running.began = self._now()
        outcome = None
        failure = running.cause
        try:
            if failure is None:
                running.around = running.enter()
                if running.around is not None:
                    running.around.context = running.context
                outcome = await running.begin()
        except BaseException as error:  # the function may raise anything, even SystemExit
            failure = self._failure(running, error)
        if running.timer is not None:
            running.timer.cancel()
        if running.around is None:
            self._end(running, outcome, failure)
        else:
            # The attempt goes on in the context of this task, which must have ended then.
            self._loop.call_soon(self._end, running, outcome, failure)

    def _end(self, running: Running, outcome: Any, error: BaseException | None) -> None:
        """End the coroutine of an attempt, unless that was done already."""
        if self.running.pop(running.key, None) is None:
            return
        running.on_end(EndedCoroutine(running.began, outcome, error, running.around))
        with self._ended:
            self._unfinished -= 1
            self._ended.notify_all()

    def _failure(self, running: Running, error: BaseException) -> BaseException:
        """Return the error that the attempt raises."""
        # Not isinstance(), because it reads the error's __class__, which may be overridden.
        if issubclass(type(error), asyncio.CancelledError) and running.cause is not None:
            return running.cause
        # Other errors than Exception would end a thread, or the group of the attempt.
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
        self._beats.beat("the event loop of coroutines")

    def _report_blocked(self) -> None:
        key = getattr(asyncio.current_task(self._loop), "key", None)
        running = self.running.get(key)
        log.warning(
            "the event loop is blocked: a coroutine computes or waits without await",
            **(running.fields if running else {}),
            stack=stack_of(self._thread.ident),
        )
