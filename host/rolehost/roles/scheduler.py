"""The scheduler role: enqueues the jobs of schedules, by one leader of the fleet."""

from __future__ import annotations

import threading

import structlog

from rolehost.delivery.ticks import Ticker
from rolehost.errors import StorageUnavailable
from rolehost.roles.lifecycle import live
from rolehost.roles.process import Process

log = structlog.get_logger(__name__)


def run(process: Process) -> int:
    """Lead or wait to lead until TERM or INT; return the exit status."""
    return live(process, SchedulerRole)


class SchedulerRole:
    """The schedules of a process."""

    def __init__(self, process: Process) -> None:
        settings = process.composition.deployment.host.scheduler
        self._lease = settings.lease
        self._ticker = Ticker(
            process.services.delivery,
            [owned.value for owned in process.composition.schedules],
            process.identity.id,
            settings.lease,
        )
        self._beats = process.beats
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start ticking, or waiting for the leadership."""
        self._thread.start()

    def look(self) -> None:
        """Nothing: the thread of the schedules beats."""

    def stop(self) -> None:
        """Tick no more; the lease goes with the presence of the process."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beats.beat("the schedules")
            # A leader renews three times within its lease; others try as often.
            self._stopping.wait(min(self._round(), self._lease / 3, self._beats.every))

    def _round(self) -> float:
        """Tick when leading; return the seconds after which there is something to do again."""
        try:
            return self._ticker.step() if self._ticker.lead() else self._lease
        except StorageUnavailable as error:
            log.warning("storage unavailable, no ticks", error=str(error))
        except Exception:
            log.exception("a tick failed, going on")
        return 1.0
