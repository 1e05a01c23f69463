"""Simulate failures at failpoints, only while code of one host runs."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rolehost import failpoints

from rolehost_testing.kit.processes import inside


class FailAt:
    """A block in which a host fails at a failpoint; created by :meth:`Host.fail_at`.

    A simulated kill ends the block: the rest of it does not run, and the host is down until
    :meth:`Host.restart`.

    Attributes:
        reached: how often code of the host or of the test reached the failpoint.
        failed: how often the failpoint failed.
    """

    def __init__(
        self,
        host: object,
        point: str,
        error: BaseException | type[BaseException] | None,
        times: int | None,
        after: int,
        crashed: Callable[[], None],
    ) -> None:
        self._host = host
        self._point = point
        self._error = error
        self._times = times
        self._after = after
        self._crashed = crashed
        self._crash: failpoints.Crash | None = None
        self.reached = 0
        self.failed = 0

    def __enter__(self) -> FailAt:
        self._disarm = failpoints.arm(self._point, self._act)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._disarm()
        if self._crash is not None:
            self._crashed()
        if error is not None:
            return error is self._crash
        if not self.failed:
            often = f"only {self.reached} times" if self.reached else "not"
            raise AssertionError(
                f"the failpoint {self._point} was {often} reached in this block:"
                f" {failpoints.NAMES[self._point]}"
            )
        return False

    def _act(self, name: str) -> None:
        if inside.get() not in (None, self._host):
            return
        self.reached += 1
        if self.reached <= self._after:
            return
        if self._times is not None and self.failed >= self._times:
            return
        self.failed += 1
        if self._error is not None:
            raise self._error
        self._crash = failpoints.Crash(f"killed at {name}")
        raise self._crash
