"""Actors of the proof ``dramatiq-faults``: they record their runs, and can hold the GIL."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rolehost.api import Actor, JobContext, PluginInfo, Services, actor, hookimpl

#: Of the file to which runs are noted.
NOTES = "FAULTS_NOTES"


def note(label: str, what: str) -> None:
    """Append a line atomically: label, action, process, monotonic seconds."""
    line = f"{label} {what} {os.getpid()} {time.monotonic()}\n"
    number = os.open(Path(os.environ[NOTES]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(number, line.encode())
    finally:
        os.close(number)


def work(label: str, seconds: float, hold: bool) -> None:
    """Take some time, with or without holding the GIL."""
    note(label, "began")
    if hold:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL does not release the GIL
    else:
        time.sleep(seconds)  # the work itself
    note(label, "ended")


@actor(queue="faults", durable=False)
def passing(_services: Services, label: str, seconds: float = 0.0, hold: bool = False) -> None:
    """Run as an ephemeral actor."""
    work(label, seconds, hold)


@actor(queue="faults")
def lasting(_job: JobContext, label: str) -> None:
    """Run as a durable actor."""
    work(label, 0.0, False)


class Faults:
    """The plugin."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database", "queue"), enqueues=("lasting",))

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [passing, lasting]


plugin = Faults()
