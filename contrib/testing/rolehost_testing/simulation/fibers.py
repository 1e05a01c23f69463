"""Simulated threads: one fiber runs until it reaches a point where another one may continue.

A fiber is a greenlet, so code of the host and of plugins runs unchanged and can be suspended
within a call. Only the simulation decides which fiber continues.
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

#: Key in a strand's dictionary: whether async code runs in the strand.
_COROUTINE = object()


class Fiber(greenlet):  # type: ignore[misc]
    """One simulated thread of one simulated process.

    Attributes:
        number: unique number, in the order of creation.
        process: the process of this thread.
        label: name of its activity.
        point: the point at which it is suspended.
        until: condition for continuing; None means at any time.
        strands: the fiber-local data.
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
        """Whether it can continue now."""
        return self.until is None or self.until()


class Fibers(Interleaving):
    """Implements waiting and locking with fibers."""

    def __init__(self) -> None:
        self.hub = getcurrent()
        self._passed: Callable[[Fiber, str], bool] = lambda _fiber, _point: False
        self._outside: dict[Any, Any] = {}
        self._numbers = itertools.count(1)

    def enter(self, passed: Callable[[Fiber, str], bool]) -> None:
        """Start a new run, driven by the caller.

        Args:
            passed: called in a fiber that reaches a point. Returns whether to suspend the fiber;
                raises :class:`~rolehost.failpoints.Crash` if its process dies there.
        """
        self.hub = getcurrent()
        self._passed = passed
        self._outside.clear()
        self._numbers = itertools.count(1)

    def begin(self, process: SimulatedProcess, label: str, work: Callable[[], object]) -> Fiber:
        """Create a fiber without starting it."""
        return Fiber(next(self._numbers), process, label, work, self.hub)

    @staticmethod
    def current() -> Fiber | None:
        """Return the running fiber, or None outside of fibers."""
        found = getcurrent()
        return found if isinstance(found, Fiber) else None

    def strand(self) -> dict[Any, Any]:
        """See :meth:`Interleaving.strand`."""
        found = getcurrent()
        return found.strands if isinstance(found, Fiber) else self._outside

    def reach(self, point: str) -> None:
        """Pass a point; other fibers may run before this returns."""
        fiber = getcurrent()
        if isinstance(fiber, Fiber) and self._passed(fiber, point):
            self._suspend(fiber, point, None)

    def locked(self, lock: threading.Lock, timeout: float) -> bool:
        """See :meth:`Interleaving.locked`; fibers wait without a timeout."""
        del timeout
        fiber = getcurrent()
        while not lock.acquire(blocking=False):
            if not isinstance(fiber, Fiber):
                return False
            self._suspend(fiber, "waits for a lock", lambda: not lock.locked())
        return True

    def wait(self, changed: threading.Condition, until: Callable[[], bool], timeout: float) -> bool:
        """See :meth:`Interleaving.wait`; does not wait, because the simulation polls later."""
        del changed, timeout
        return until()

    def sleep(self, point: str, until: Callable[[], bool]) -> None:
        """Suspend the running fiber until a condition holds."""
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
        """Return an identifier of the running fiber, like ``threading.get_ident``."""
        found = getcurrent()
        return found.number if isinstance(found, Fiber) else 0

    def in_coroutine(self) -> bool:
        """Return whether the running fiber runs async code of the ``http`` role."""
        return bool(self.strand().get(_COROUTINE))

    @contextmanager
    def coroutine(self, runs: bool) -> Iterator[None]:
        """Mark the running fiber as the event loop, or not, within the block."""
        strand = self.strand()
        before = strand.get(_COROUTINE)
        strand[_COROUTINE] = runs
        try:
            yield
        finally:
            strand[_COROUTINE] = before


class InFiber:
    """Runs blocking functions of coroutines in the calling fiber instead of a thread pool."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers

    async def run(self, work: Callable[[], T], session: Session) -> T:
        """See :meth:`rolehost.services.threads.Threads.run`."""
        with self._fibers.coroutine(False), session():
            return copy_context().run(work)

    def close(self) -> None:
        """See :meth:`rolehost.services.threads.Threads.close`; there is nothing to stop."""


class FiberLocal:
    """Fiber-local attributes; replaces ``threading.local``."""

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
    """A lock for fibers; replaces ``threading.Lock``."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._fibers.locked(self._lock, 0.0)

    def __exit__(self, *error: object) -> None:
        self._lock.release()
