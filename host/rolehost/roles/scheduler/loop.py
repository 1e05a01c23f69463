"""Runs the scheduler role: leads when it can, and enqueues what is due."""

from __future__ import annotations

import signal
import threading

import structlog

from rolehost.delivery.ticks import Ticker
from rolehost.errors import StorageUnavailable
from rolehost.roles.process import Process

log = structlog.get_logger(__name__)


def run(process: Process) -> int:
    """Lead or wait to lead until TERM or INT; return the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    process.start()
    try:
        settings = process.composition.deployment.host.scheduler
        ticker = Ticker(
            process.services.engine,
            [owned.value for owned in process.composition.schedules],
            process.identity.id,
            settings.lease,
        )
        process.announce_ready()
        while not stop.is_set():
            # A leader renews three times within its lease; others try as often.
            stop.wait(min(_round(ticker, settings.lease), settings.lease / 3))
        process.drain()
    finally:
        process.stop()
    return 0


def _round(ticker: Ticker, lease: float) -> float:
    """Tick when leading; return the seconds after which there is something to do again."""
    try:
        return ticker.step() if ticker.lead() else lease
    except StorageUnavailable as error:
        log.warning("storage unavailable, no ticks", error=str(error))
        return 1.0
