"""Runs one role of a composition in this process, from logs to exit status."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rolehost.composition.model import Composition
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StorageRefused,
    StorageUnavailable,
)
from rolehost.roles.status import AWAY, CANNOT_START, MISCONFIGURED, STATUS_VARIABLE

#: Characters of a reason that is told through it: a pipe takes 4096 bytes at once.
LONGEST_REASON = 1000


def serve(
    composition: Composition, role: str, slot: int, incarnation: int, *, migrates: bool = False
) -> int:
    """Run a role until the process is told to stop; return its exit status.

    Args:
        composition: what is run; parts that the role does not read may be left out.
        role: which of its roles.
        slot: number among the processes of the role, from 0.
        incarnation: how often this slot was started, from 1.
        migrates: see :class:`~rolehost.roles.process.Process`.

    Raises:
        RolehostError: it cannot start here.
    """
    from rolehost.observe import logs
    from rolehost.observe.board import Board
    from rolehost.roles.arming import arm_failpoints
    from rolehost.roles.beats import Beats
    from rolehost.roles.process import Process

    _name_process(f"rh:{role}.{slot}")
    host = composition.deployment.host
    logs.configure(host.log, deployment=composition.deployment.name, role=role, slot=slot)
    arm_failpoints(composition.deployment)
    pipe = os.environ.get(STATUS_VARIABLE)
    process = Process(
        composition,
        role=role,
        slot=slot,
        incarnation=incarnation,
        announce=_announce,
        migrates=migrates,
        beats=Beats(host.supervisor.hang, int(pipe) if pipe else None),
        board=Board.inherited(),
    )
    module = importlib.import_module(f"rolehost.roles.{role}")
    # What was made so far stays: it need not be looked at again, nor copied after a fork.
    gc.freeze()
    gc.enable()
    status: int = module.run(process)
    return status


def reported(role: str, run: Callable[[], int]) -> int:
    """Return what ``run`` returns; tell what it raises, as one line, and return its status."""
    try:
        return run()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except RolehostError as error:
        tell_failure(role, error)
        return status_of(error)


def status_of(error: Exception) -> int:
    """Return the exit status of a process that could not start because of an error."""
    if isinstance(error, ConfigurationError | StorageRefused):
        return MISCONFIGURED
    return AWAY if isinstance(error, StorageUnavailable) else CANNOT_START


def tell_failure(role: str, error: RolehostError) -> None:
    """Tell the supervisor why the process cannot start; without one, standard error.

    Several processes stumble over the same thing; the supervisor tells it once.
    """
    line = " ".join(str(error).split())
    if not _announce(f"failed {line[:LONGEST_REASON]}"):
        print(f"rolehost {role}: {line}", file=sys.stderr, flush=True)


def _name_process(name: str) -> None:
    """Let ``ps -e`` and ``top`` tell the roles apart, where the kernel has names of threads."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _announce(word: str) -> bool:
    """Tell the supervisor; False: there is none."""
    number = os.environ.get(STATUS_VARIABLE)
    if not number:
        return False
    # The supervisor may be gone, and this process about to follow it.
    with suppress(OSError):
        os.write(int(number), f"{word}\n".encode(errors="replace"))
        return True
    return False
