"""Runs the consumer role: a polling thread for each group, lanes shared by all."""

from __future__ import annotations

import threading
import time

from rolehost.api.contributions import Handler
from rolehost.roles.consumer.group import Group
from rolehost.roles.consumer.lanes import Lanes
from rolehost.roles.life import live
from rolehost.roles.process import Process


def run(process: Process) -> int:
    """Consume until TERM or INT; return the exit status."""
    return live(process, ConsumerRole)


class ConsumerRole:
    """The consumer groups of a process."""

    def __init__(self, process: Process) -> None:
        services = process.services
        settings = process.composition.deployment.host.consumer
        self._grace = settings.grace
        self._stopping = threading.Event()
        self._lanes = Lanes(settings.threads, "handler")
        by_group: dict[str, list[Handler]] = {}
        for owned in process.composition.handlers:
            by_group.setdefault(owned.value.group, []).append(owned.value)
        self._groups = [
            Group(
                services.engine,
                services,
                services.stream,
                group,
                handlers,
                self._lanes,
                settings.in_flight,
                self._stopping,
                services.queue.listen([f"replay:{group}"])
                if "queue" in process.composition.backends
                else None,
            )
            for group, handlers in by_group.items()
        ]
        self._threads = [
            threading.Thread(target=group.run, name="consumer-group", daemon=True)
            for group in self._groups
        ]

    def start(self) -> None:
        """Start polling."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Poll no more, let running handlers finish within the grace, commit, leave."""
        deadline = time.monotonic() + self._grace
        self._stopping.set()
        for group in self._groups:
            group.subscription.interrupt()
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        for group in self._groups:
            group.close(max(0.1, deadline - time.monotonic()))
        self._lanes.stop(max(0.1, deadline - time.monotonic()))
