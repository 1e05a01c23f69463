"""Forks the first process of every slot from ``rolehost run``, which has composed already.

The command then becomes the supervisor (``exec`` keeps children). So a start composes once, not
once for each process. A restarted process composes again.
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
from rolehost.roles.serving import exit_process, run_reporting, serve
from rolehost.roles.status import LISTENER_VARIABLE, STATUS_VARIABLE
from rolehost.supervisor.child import STOP_SIGNALS, become_child
from rolehost.supervisor.plan import MIGRATE, ProcessPlan, StartedProcess

#: Modules that every role needs; they are imported once, before the forks.
SHARED_MODULES = ("rolehost.observe.logs", "rolehost.roles.process")


def fork_first_processes(composition: Composition, plan: ProcessPlan) -> ProcessPlan:
    """Fork the first process of each slot; return the plan with these processes.

    In a child it raises SystemExit when the role has ended. The caller must have no other thread
    and no open connection. :data:`STOP_SIGNALS` stay blocked until the supervisor handles them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    gc.disable()
    for module in SHARED_MODULES:
        importlib.import_module(module)
    gc.freeze()
    for descriptor in (plan.listener, plan.sources, plan.board):
        if descriptor >= 0:
            # The descriptor must survive the exec.
            os.set_inheritable(descriptor, True)
    started: list[StartedProcess] = []
    for role_plan in plan.roles:
        for number in range(role_plan.processes):
            started.append(_fork(composition, plan, role_plan.role, number, started))
    return plan._replace(started=tuple(started))


def _fork(
    composition: Composition,
    plan: ProcessPlan,
    role: str,
    number: int,
    before: list[StartedProcess],
) -> StartedProcess:
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
        for descriptor in unused:
            if descriptor >= 0:
                os.close(descriptor)
        become_child(parent)
        os.environ[STATUS_VARIABLE] = str(writing)
        os.environ[BOARD_VARIABLE] = str(plan.board)
        reduced = _reduced_to(role, composition)
        migrates = MIGRATE in plan.arguments
        exit_process(
            run_reporting(role, lambda: serve(reduced, role, number, 1, migrates=migrates))
        )
    os.close(writing)
    os.set_inheritable(reading, True)
    return StartedProcess(pid, reading)


def _reduced_to(role: str, composition: Composition) -> Composition:
    if role == "http":
        return replace(composition, commands=())
    return replace(composition, routes=(), error_formats=(), middleware=(), checks=(), commands=())
