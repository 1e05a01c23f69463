"""What a simulation does to the processes, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities, each from 0 to 1, of what may go wrong.

    Attributes:
        switch: at each point: another thread or process runs on.
        crash: at each point: the process dies there; open transactions are rolled back, its
            memory is lost, and what it held is free when its lease ends.
        freeze: at each step: a process is stopped, most often for longer than its lease.
        flush: at each step: the queue loses every wake-up that waits.
        duplicate: at each step: a record of the stream comes a second time.
        failing: at each publication: the stream says that it is unavailable, and has nothing.
        unsure: at each publication: the stream has it, but says that it is unavailable.
        rebalance: at each step: a consumer loses its partitions.
        elapse: at each step: time passes, up to twice the lease, in which all that is not
            frozen renews what it holds.
        jump: at each step: the clock goes ahead at once, so that every lease may have ended.
        jump_longest: seconds by which the clock goes ahead at most.
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


#: Nothing goes wrong; processes and threads still run in any order.
NONE = Faults(crash=0, freeze=0, flush=0, duplicate=0, failing=0, unsure=0, rebalance=0, jump=0)
