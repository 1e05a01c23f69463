"""gunicorn's master, which gives workers that die young a growing pause."""

from __future__ import annotations

import signal
import time
from typing import Any

import structlog
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from rolehost.deployment.model import SupervisorSettings
from rolehost.roles.http.worker import STOPPING

log = structlog.get_logger(__name__)


class Pauses:
    """When the next worker may be started; the same rule as the supervisor's.

    gunicorn replaces a worker at once, however often it dies. All of them have one rule, for
    what kills one at its start kills the others too.

    Args:
        settings: ``backoff``, ``backoff_longest`` and ``stable`` of ``[supervisor]``.
    """

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self._deaths = 0
        self._due = 0.0

    def open(self, now: float) -> bool:
        """Whether a worker may be started; ``now`` in monotonic seconds."""
        return now >= self._due

    def died(self, lived: float, now: float) -> None:
        """Count the end of a worker that lived for so many seconds."""
        settings = self._settings
        if lived >= settings.stable:
            self._deaths = 0
            return
        self._deaths += 1
        delay = min(settings.backoff_longest, settings.backoff * 2 ** min(self._deaths - 1, 30))
        self._due = now + delay
        if self._deaths > 1:
            log.error("http processes die young", deaths=self._deaths, next_start_in=delay)


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master; it looks once a second, and at each signal, whether workers lack."""

    def __init__(self, app: Any, pauses: Pauses) -> None:
        self._pauses = pauses
        super().__init__(app)
        self.cfg.set("pre_fork", _born)
        self.cfg.set("child_exit", self._died)

    def spawn_workers(self) -> None:
        """Start the workers that lack, unless it is too early for that."""
        if self._pauses.open(time.monotonic()):
            super().spawn_workers()

    def spawn_worker(self) -> int:
        """Fork a worker; returns its process id in the master alone.

        gunicorn's workers have the master's signal handlers until they set their own, and lose
        what comes before. So signals wait until then: see :meth:`HostWorker.init_signals`.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _died(self, _arbiter: Any, worker: Any) -> None:
        now = time.monotonic()
        self._pauses.died(now - worker.born, now)


def _born(_arbiter: Any, worker: Any) -> None:
    worker.born = time.monotonic()
