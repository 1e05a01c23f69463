"""The kinds of faults in a simulation, and their probabilities."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities of faults, each from 0 to 1.

    Attributes:
        switch: at each point: another thread or process continues.
        crash: at each point: the process dies there. Open transactions are rolled back, its
            memory is lost, and its leases expire later.
        freeze: at each step: a process is stopped, usually for longer than its lease.
        flush: at each step: the queue loses all pending wake-ups.
        duplicate: at each step: a record of the stream is delivered again.
        failing: at each publication: the stream is unavailable and stores nothing.
        unsure: at each publication: the stream stores the records but reports an error.
        rebalance: at each step: a consumer loses its partitions.
        elapse: at each step: time passes, up to twice the lease, while all processes that are
            not frozen renew their leases.
        jump: at each step: the clock jumps forward, so that any lease may have expired.
        jump_longest: maximum length of a jump, in seconds.
        set_back: at each step: the clock is set back, by at most ``jump_longest`` seconds.
    """

    switch: float = 0.3
    crash: float = 0.01
    freeze: float = 0.006
    flush: float = 0.01
    duplicate: float = 0.01
    failing: float = 0.05
    unsure: float = 0.05
    rebalance: float = 0.005
    elapse: float = 0.01
    jump: float = 0.005
    jump_longest: float = 60.0
    set_back: float = 0.003


#: No faults; processes and threads still run in random order.
NONE = Faults(
    crash=0, freeze=0, flush=0, duplicate=0, failing=0, unsure=0, rebalance=0, jump=0, set_back=0
)
