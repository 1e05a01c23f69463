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
from rolehost.errors import ConfigurationError, RolehostError
from rolehost.roles.status import CANNOT_START, MISCONFIGURED


def serve(composition: Composition, role: str, slot: int, incarnation: int) -> int:
    """Run a role until the process is told to stop; return its exit status.

    Args:
        composition: what is run; parts that the role does not read may be left out.
        role: which of its roles.
        slot: number among the processes of the role, from 0.
        incarnation: how often this slot was started, from 1.

    Raises:
        RolehostError: it cannot start here.
    """
    from rolehost.observe import logs
    from rolehost.roles.process import Process

    _name_process(f"rh:{role}.{slot}")
    host = composition.deployment.host
    logs.configure(host.log, deployment=composition.deployment.name, role=role, slot=slot)
    process = Process(
        composition, role=role, slot=slot, incarnation=incarnation, announce=_announce
    )
    module = importlib.import_module(f"rolehost.roles.{role}")
    # What was made so far stays: it need not be looked at again, nor copied after a fork.
    gc.freeze()
    gc.enable()
    status: int = module.run(process)
    return status


def reported(role: str, run: Callable[[], int]) -> int:
    """Return what ``run`` returns; print what it raises for the operator, as a status."""
    try:
        return run()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except RolehostError as error:
        print(f"rolehost {role}: {error}", file=sys.stderr)
        return CANNOT_START


def _name_process(name: str) -> None:
    """Let ``ps -e`` and ``top`` tell the roles apart, where the kernel has names of threads."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _announce(word: str) -> None:
    number = os.environ.get("ROLEHOST_STATUS_FD")
    if number:
        # The supervisor may be gone, and this process about to follow it.
        with suppress(OSError):
            os.write(int(number), f"{word}\n".encode())
