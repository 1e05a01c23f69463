"""The consumer role: a polling thread for each group, lanes shared by all groups."""

from __future__ import annotations

import time
from functools import partial

import structlog

from rolehost.api.handlers import Handler
from rolehost.roles.consumer.group import CANCEL_TIMEOUT, ConsumerGroup
from rolehost.roles.consumer.lanes import Lanes
from rolehost.roles.coroutines import Coroutines
from rolehost.roles.lifecycle import run_role
from rolehost.roles.process import Process
from rolehost.roles.stuck import LATE_SECONDS, StuckAttempts

log = structlog.get_logger(__name__)

#: Seconds to leave the groups, after the grace.
LEAVE_TIMEOUT = 15.0


def run(process: Process) -> int:
    """Consume until TERM or INT; return the exit status."""
    return run_role(process, ConsumerRole)


class ConsumerRole:
    """The consumer groups of a process."""

    def __init__(self, process: Process) -> None:
        settings = process.composition.deployment.host.consumer
        self._grace = settings.grace
        self._coroutines = Coroutines(process.services.clock.now, process.beats)
        self._lanes = Lanes(settings.threads, "handler", self._coroutines)
        find = partial(self._coroutines.stuck, LATE_SECONDS)
        self._stuck = StuckAttempts(process.services, find, process.replace)
        by_group: dict[str, list[Handler]] = {}
        for owned in process.composition.handlers:
            by_group.setdefault(owned.value.group, []).append(owned.value)
        self._groups = [
            ConsumerGroup(process, group, handlers, self._lanes)
            for group, handlers in by_group.items()
        ]
        self._beats = process.beats
        self._is_async = any(owned.value.is_async for owned in process.composition.handlers)
        process.in_flight = self._in_flight

    def _in_flight(self) -> int:
        return sum(group.in_flight for group in self._groups)

    def start(self) -> None:
        """Start polling."""
        if self._is_async:
            self._coroutines.open()
            if self._beats.watched:
                self._stuck.watch()
        for group in self._groups:
            group.start()

    def report_progress(self) -> None:
        """Send a heartbeat for each group that makes progress."""
        for group in self._groups:
            group.report_progress()

    def stop(self) -> None:
        """Stop polling, let running handlers finish within the grace, commit, leave the groups."""
        deadline = time.monotonic() + self._stuck.stop(self._grace)
        self._coroutines.end_late(LATE_SECONDS)
        for group in self._groups:
            group.stop_by(deadline)
        for group in self._groups:
            group.thread.join(max(0.0, deadline - time.monotonic()) + LEAVE_TIMEOUT)
            if group.thread.is_alive():
                log.warning("a consumer group did not leave in time")
        # Those of parked events.
        self._coroutines.drain(max(0.0, deadline - time.monotonic()), CANCEL_TIMEOUT)
        self._coroutines.close()
        self._lanes.stop(max(0.1, deadline - time.monotonic()))
