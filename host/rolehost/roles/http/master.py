"""gunicorn's master: how it replaces workers that die or hang."""

from __future__ import annotations

import mmap
import signal
import time
from typing import Any

import structlog
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from rolehost.deployment.model import HostSettings
from rolehost.observe.progress import RunningClock, Watch
from rolehost.roles.backoff import Backoff
from rolehost.roles.beats import DUMP_SIGNAL, Beats
from rolehost.roles.http.worker import STOPPING
from rolehost.roles.serving import exit_process
from rolehost.roles.status import RETIRE

log = structlog.get_logger(__name__)


class WorkerBackoff:
    """Decides when the next worker may be started, by the supervisor's rule (:class:`Backoff`).

    gunicorn itself replaces a worker at once, even if it dies often. All workers share one delay,
    because an error that kills one at its start kills the others too.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._deaths = 0
        self._due = 0.0

    def may_start(self, now: float) -> bool:
        """Return whether a worker may be started at ``now`` (monotonic seconds)."""
        return now >= self._due

    def count_death(self, lived: float, now: float, *, served: bool) -> None:
        """Count the end of a worker, ``lived`` seconds after its fork.

        If the worker has accepted connections (``served``), the delay is at most ``stable``.
        """
        if lived >= self._backoff.stable:
            self._deaths = 0
            return
        self._deaths += 1
        delay = self._backoff.delay(self._deaths, ready=served)
        self._due = now + delay
        if self._deaths > 1:
            log.error(
                "http processes die soon after their start",
                deaths=self._deaths,
                next_start_in=delay,
            )


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which replaces workers that hang, or die (with a growing delay).

    ``inherited``: another process has the listener too, so this one must not remove its address.
    """

    def __init__(self, app: Any, host: HostSettings, beats: Beats, *, inherited: bool) -> None:
        self._backoff = WorkerBackoff(Backoff())
        self._beats = beats
        # Seconds without progress after which a worker counts as hung (0: never), and seconds from
        # TERM to KILL.
        self._hang = host.supervisor.hang
        self._grace = host.http.grace + host.http.shutdown_delay
        self._clock = RunningClock(1.0)
        self._retires = False
        self._stops = False
        super().__init__(app)
        # gunicorn does not remove the address of a listener that systemd opened.
        self.systemd = inherited
        self.cfg.set("pre_fork", _pre_fork)
        self.cfg.set("child_exit", self._child_exit)

    def init_signals(self) -> None:
        """Handle gunicorn's signals, except :data:`DUMP_SIGNAL`, which writes the stacks."""
        super().init_signals()
        self._beats.register_dump()

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        """Wait for signals, at most until the next beat is due."""
        return super().wait_for_signals(timeout=min(timeout, self._beats.every))

    def murder_workers(self) -> None:
        """Report progress, and end workers whose event loops make no progress.

        gunicorn's own rule would kill all workers after a suspension of the machine.
        """
        self._beats.beat("the master")
        now = time.monotonic()
        at = self._clock.advance(now)
        for pid, worker in list(self.WORKERS.items()):
            try:
                beat = worker.tmp.last_update()
            except (OSError, ValueError):
                continue  # it has ended meanwhile
            if beat != worker.beat and worker.served[0]:
                worker.beat = beat
                worker.watch.beat("event loop", at)
            silence = worker.watch.silent(at)
            if worker.kill_at is not None:
                if at >= worker.kill_at:
                    self.kill_worker(pid, signal.SIGKILL)
            elif self._hang and silence and silence[1] >= self._hang and not self._retires:
                worker.kill_at = at + self._grace
                # This line comes before the stacks, which arrive in pieces on the same pipe.
                self._beats.write(f"hung {pid} {silence[1]:.1f}")
                self.kill_worker(pid, DUMP_SIGNAL)
                self.kill_worker(pid, signal.SIGTERM)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; do not report their ends with ``lost``."""
        self._stops = True
        super().stop(graceful)

    def handle_usr1(self) -> None:
        """Retire all workers, start no others, and end after the last one."""
        self._retires = True
        self.kill_workers(RETIRE)

    def manage_workers(self) -> None:
        """Start and stop workers until their number is right."""
        if not self._retires:
            super().manage_workers()
        elif not self.WORKERS:
            raise StopIteration

    def spawn_workers(self) -> None:
        """Start missing workers when the delay has passed."""
        if self._backoff.may_start(time.monotonic()):
            super().spawn_workers()

    def spawn_worker(self) -> int:
        """Fork a worker; return its process id in the master; in the worker it does not return.

        A gunicorn worker keeps the master's signal handlers until it sets its own, and loses
        signals that arrive before. So signals are blocked until :meth:`HostWorker.init_signals`.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid: int = super().spawn_worker()
            return pid
        except SystemExit as end:
            # This is the worker, because the master raises no SystemExit here.
            exit_process(end.code if isinstance(end.code, int) else int(end.code is not None))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _child_exit(self, _arbiter: Any, worker: Any) -> None:
        now = time.monotonic()
        if not self._retires and not self._stops:
            self._beats.write(f"lost {'death' if worker.kill_at is None else 'hang'} {worker.pid}")
        self._backoff.count_death(now - worker.born, now, served=bool(worker.served[0]))
        worker.served.close()


def _pre_fork(_arbiter: Any, worker: Any) -> None:
    worker.born = time.monotonic()
    worker.beat, worker.watch, worker.kill_at = 0.0, Watch(), None
    # Shared with the worker, which sets it.
    worker.served = mmap.mmap(-1, 1)
