"""Simulated threads: fibers, of which one runs until it reaches a point where others may.

A fiber is a greenlet, so code of the host and of plugins runs unchanged and can be suspended in
the midst of a call. Which fiber goes on is decided by the simulation alone.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]
from rolehost.failpoints import Crash
from rolehost.services.threads import Session

from rolehost_testing.memory.interleaving import Interleaving

if TYPE_CHECKING:
    from rolehost_testing.simulation.processes import SimulatedProcess


T = TypeVar("T")

#: Key in a strand: whether async code runs in it.
_COROUTINE = object()


class Fiber(greenlet):  # type: ignore[misc]
    """One simulated thread of one simulated process.

    Attributes:
        number: its own, in the order of their making.
        process: whose thread it is.
        label: what it does.
        point: where it is suspended.
        until: it goes on when this holds; None: at any time.
        strands: what belongs to it alone.
    """

    def __init__(
        self,
        number: int,
        process: SimulatedProcess,
        label: str,
        work: Callable[[], object],
        hub: greenlet,
    ) -> None:
        super().__init__(work, parent=hub)
        self.number = number
        self.process = process
        self.label = label
        self.point = "begin"
        self.until: Callable[[], bool] | None = None
        self.strands: dict[Any, Any] = {}

    @property
    def runnable(self) -> bool:
        """Whether it can go on now."""
        return self.until is None or self.until()


class Fibers(Interleaving):
    """How fibers wait for each other, and where they may be suspended."""

    def __init__(self) -> None:
        self.hub = getcurrent()
        self._passed: Callable[[Fiber, str], bool] = lambda _fiber, _point: False
        self._outside: dict[Any, Any] = {}
        self._numbers = itertools.count(1)

    def enter(self, passed: Callable[[Fiber, str], bool]) -> None:
        """Begin another run, driven by who calls this.

        Args:
            passed: called in a fiber that reaches a point; says whether it is to be suspended
                there, and raises :class:`~rolehost.failpoints.Crash` when its process dies.
        """
        self.hub = getcurrent()
        self._passed = passed
        self._outside.clear()
        self._numbers = itertools.count(1)

    def begin(self, process: SimulatedProcess, label: str, work: Callable[[], object]) -> Fiber:
        """Make a fiber; it has not begun to run."""
        return Fiber(next(self._numbers), process, label, work, self.hub)

    @staticmethod
    def current() -> Fiber | None:
        """Return the fiber that runs; None outside of any."""
        found = getcurrent()
        return found if isinstance(found, Fiber) else None

    def strand(self) -> dict[Any, Any]:
        """See :meth:`Interleaving.strand`."""
        found = getcurrent()
        return found.strands if isinstance(found, Fiber) else self._outside

    def reach(self, point: str) -> None:
        """Pass a point; others may run before this returns."""
        fiber = getcurrent()
        if isinstance(fiber, Fiber) and self._passed(fiber, point):
            self._suspend(fiber, point, None)

    def locked(self, lock: threading.Lock, timeout: float) -> bool:
        """See :meth:`Interleaving.locked`; fibers wait as long as it takes."""
        del timeout
        fiber = getcurrent()
        while not lock.acquire(blocking=False):
            if not isinstance(fiber, Fiber):
                return False
            self._suspend(fiber, "waits for a lock", lambda: not lock.locked())
        return True

    def wait(self, changed: threading.Condition, until: Callable[[], bool], timeout: float) -> bool:
        """See :meth:`Interleaving.wait`; nobody waits: the simulation looks again later."""
        del changed, timeout
        return until()

    def sleep(self, point: str, until: Callable[[], bool]) -> None:
        """Suspend the running fiber until something holds."""
        fiber = getcurrent()
        if isinstance(fiber, Fiber):
            self._suspend(fiber, point, until)

    def _suspend(self, fiber: Fiber, point: str, until: Callable[[], bool] | None) -> None:
        fiber.point, fiber.until = point, until
        self.hub.switch()
        fiber.until = None
        if fiber.process.dead:
            raise Crash(point)

    @staticmethod
    def number() -> int:
        """Tell the running fiber from others, as the ident of a thread does."""
        found = getcurrent()
        return found.number if isinstance(found, Fiber) else 0

    def in_coroutine(self) -> bool:
        """Say whether the running fiber runs async code of the ``http`` role."""
        return bool(self.strand().get(_COROUTINE))

    @contextmanager
    def coroutine(self, runs: bool) -> Iterator[None]:
        """Let the running fiber count as the event loop while it runs async code, or not."""
        strand = self.strand()
        before = strand.get(_COROUTINE)
        strand[_COROUTINE] = runs
        try:
            yield
        finally:
            strand[_COROUTINE] = before


class InFiber:
    """Calls functions for coroutines in the fiber that waits, in place of a pool of threads."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers

    async def run(self, work: Callable[[], T], session: Session) -> T:
        """See :meth:`rolehost.services.threads.Threads.run`."""
        with self._fibers.coroutine(False), session():
            return copy_context().run(work)

    def close(self) -> None:
        """See :meth:`rolehost.services.threads.Threads.close`; nothing is left running."""


class FiberLocal:
    """Attributes of which each fiber has its own, in place of ``threading.local``."""

    def __init__(self, fibers: Fibers) -> None:
        object.__setattr__(self, "_fibers", fibers)

    def __getattr__(self, name: str) -> Any:
        fibers: Fibers = object.__getattribute__(self, "_fibers")
        try:
            return fibers.strand()[self, name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        fibers: Fibers = object.__getattribute__(self, "_fibers")
        fibers.strand()[self, name] = value


class FiberLock:
    """A lock for which fibers wait, in place of ``threading.Lock``."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._fibers.locked(self._lock, 0.0)

    def __exit__(self, *error: object) -> None:
        self._lock.release()
