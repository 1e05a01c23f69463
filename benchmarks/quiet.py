"""Whether the machine has anything else to do; a round beside a test run says little."""

from __future__ import annotations

import time
from pathlib import Path

#: Part of all processors that may be busy with something else in a quiet round.
STILL = 0.12

#: Seconds over which it is looked at, and seconds a round waits for quiet at most.
LOOK, PATIENCE = 0.2, 5.0


def _ticks() -> tuple[int, int]:
    """Return busy and total clock ticks of all processors since boot (proc_stat(5)).

    A processor that waits for a disk counts as busy: a commit beside somebody else's takes
    several times as long.
    """
    user, nice, system, idle, iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    )
    busy = user + nice + system + iowait + irq + softirq + steal
    return busy, busy + idle


def still() -> bool:
    """Look for a moment, while nothing of ours works, whether the machine is quiet."""
    busy, total = _ticks()
    time.sleep(LOOK)
    busy_then, total_then = _ticks()
    return (busy_then - busy) / max(1, total_then - total) <= STILL


def await_still(patience: float) -> bool:
    """Wait until the machine is quiet; False when it was not in so many seconds."""
    deadline = time.monotonic() + patience
    while not still():
        if time.monotonic() >= deadline:
            return False
    return True
