"""The first process of every slot: forked from the command that has composed already.

The command then becomes the supervisor by ``exec``, which keeps its children. So everything is
composed once, not once in every process; a process that is started again composes anew.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from dataclasses import replace

from rolehost.composition.model import Composition
from rolehost.observe.board import BOARD_VARIABLE
from rolehost.roles.leaving import leave
from rolehost.roles.serving import reported, serve
from rolehost.roles.status import LISTENER_VARIABLE, STATUS_VARIABLE
from rolehost.supervisor.child import STOPPING, become_child
from rolehost.supervisor.plan import MIGRATE, ProcessPlan, Started

#: What every role imports anyway: once, before the forks.
SHARED = ("rolehost.observe.logs", "rolehost.roles.process")


def fork_first_processes(composition: Composition, plan: ProcessPlan) -> ProcessPlan:
    """Fork the first process of each slot; return the plan that names them.

    In a child this does not return: it raises SystemExit when its role has ended. The caller
    must have no other thread and no open connection. Signals to stop wait from here on until
    the supervisor listens.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    gc.disable()
    for module in SHARED:
        importlib.import_module(module)
    gc.freeze()
    for number in (plan.listener, plan.sources, plan.board):
        if number >= 0:
            # They survive the exec, too.
            os.set_inheritable(number, True)
    started: list[Started] = []
    for kind in plan.roles:
        for number in range(kind.processes):
            started.append(_fork(composition, plan, kind.role, number, started))
    return plan._replace(started=tuple(started))


def _fork(
    composition: Composition, plan: ProcessPlan, role: str, number: int, before: list[Started]
) -> Started:
    parent = os.getpid()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        unused = [plan.sources, *(other.status for other in before), reading]
        if role == "http" and plan.listener >= 0:
            os.environ[LISTENER_VARIABLE] = str(plan.listener)
        else:
            unused.append(plan.listener)
        for each in unused:
            if each >= 0:
                os.close(each)
        become_child(parent)
        os.environ[STATUS_VARIABLE] = str(writing)
        os.environ[BOARD_VARIABLE] = str(plan.board)
        reduced = reduced_to(role, composition)
        migrates = MIGRATE in plan.arguments
        leave(reported(role, lambda: serve(reduced, role, number, 1, migrates=migrates)))
    os.close(writing)
    # The reading end must survive the exec by which this process becomes the supervisor.
    os.set_inheritable(reading, True)
    return Started(role, number, pid, reading)


def reduced_to(role: str, composition: Composition) -> Composition:
    """Leave out what a process of this role does not read, as one that composes for itself."""
    if role == "http":
        return replace(composition, commands=())
    return replace(composition, routes=(), error_formats=(), middleware=(), checks=(), commands=())
