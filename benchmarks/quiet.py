"""Detect other load on the machine: a round during a test run has little meaning."""

from __future__ import annotations

import time
from pathlib import Path

#: Maximum share of all processors that other work may use in a quiet round.
STILL = 0.12

#: Seconds of one sample, and maximum seconds that a round waits for a quiet machine.
LOOK, PATIENCE = 0.2, 5.0


def _ticks() -> tuple[int, int]:
    """Return busy and total clock ticks of all processors since boot (proc_stat(5)).

    A processor that waits for a disk counts as busy: a commit takes several times as long while
    another program commits.
    """
    user, nice, system, idle, iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    )
    busy = user + nice + system + iowait + irq + softirq + steal
    return busy, busy + idle


def still() -> bool:
    """Return whether the machine is quiet now; call it while the benchmark is idle."""
    busy, total = _ticks()
    time.sleep(LOOK)
    busy_then, total_then = _ticks()
    return (busy_then - busy) / max(1, total_then - total) <= STILL


def await_still(patience: float) -> bool:
    """Wait until the machine is quiet; return False if it was not within this time."""
    deadline = time.monotonic() + patience
    while not still():
        if time.monotonic() >= deadline:
            return False
    return True
