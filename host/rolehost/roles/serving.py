"""Runs one role of a composition in this process: logs, failpoints, errors, exit status."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from rolehost import failpoints
from rolehost.composition.model import Composition
from rolehost.deployment.model import Deployment
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StorageRefused,
    StorageUnavailable,
)
from rolehost.messages import problem
from rolehost.roles.status import CANNOT_START, MISCONFIGURED, STATUS_VARIABLE, UNAVAILABLE

log = structlog.get_logger(__name__)

#: New objects that a process makes before the garbage collector visits them. PERF: with Python's
#: 700, it visits the objects of jobs and requests that run, which are no garbage, several times.
NEW_OBJECTS = 10_000

#: Role → the module of :mod:`rolehost.roles` with its function ``run``.
MODULES = {
    "http": "http.server",
    "worker": "worker.role",
    "consumer": "consumer.role",
    "scheduler": "scheduler",
}

#: Maximum length of a reason on the status pipe, characters; a pipe takes 4096 bytes at once.
MAX_REASON = 1000

#: Name of the threads that ping a backend; an ending process does not wait for them.
PING_THREAD = "ping storage"


def serve(
    composition: Composition, role: str, slot: int, incarnation: int, *, migrates: bool = False
) -> int:
    """Run a role until the process is asked to stop; return its exit status.

    The composition may lack parts that the role does not use. RolehostError: the start failed.
    """
    from rolehost.observe import logs
    from rolehost.observe.board import Board
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
        announce=_write_status,
        migrates=migrates,
        beats=Beats(host.supervisor.hang, int(pipe) if pipe else None),
        board=Board.inherited(),
    )
    module = importlib.import_module(f"rolehost.roles.{MODULES[role]}")
    # These objects live as long as the process: the garbage collector need not visit them, so a
    # forked child need not copy their pages (copy-on-write).
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    gc.enable()
    status: int = module.run(process)
    return status


def run_reporting(role: str, run: Callable[[], int]) -> int:
    """Return the result of ``run``; report a RolehostError, and return the exit status for it."""
    try:
        return run()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except RolehostError as error:
        report_failure(role, error)
        return status_of(error)


def status_of(error: Exception) -> int:
    """Return the exit status of a process that could not start because of an error."""
    if isinstance(error, ConfigurationError | StorageRefused):
        return MISCONFIGURED
    return UNAVAILABLE if isinstance(error, StorageUnavailable) else CANNOT_START


def report_failure(role: str, error: RolehostError) -> None:
    """Report why the process cannot start, to the supervisor or else on standard error.

    If several processes fail for the same reason, the supervisor logs it once.
    """
    line = " ".join(str(error).split())
    if not _write_status(f"failed {line[:MAX_REASON]}"):
        print(f"rolehost {role}: {line}", file=sys.stderr, flush=True)


def _name_process(name: str) -> None:
    """Show the role in ``ps -e`` and ``top``, if the kernel has ``/proc/self/comm``."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _write_status(line: str) -> bool:
    """Write a line to the supervisor; return False without a supervisor."""
    number = os.environ.get(STATUS_VARIABLE)
    if not number:
        return False
    # If the supervisor has died, this process ends soon too.
    with suppress(OSError):
        os.write(int(number), f"{line}\n".encode(errors="replace"))
        return True
    return False


def arm_failpoints(deployment: Deployment) -> None:
    """Arm the failpoints that ``ROLEHOST_FAIL`` names: places that fail on purpose, for tests.

    In production the variable is an error, so that a forgotten variable cannot kill processes.
    """
    text = os.environ.get(failpoints.VARIABLE, "").strip()
    if not text:
        return
    who, where = f"deployment {deployment.name}", f"environment {failpoints.VARIABLE}"
    if deployment.host.deployment.environment == "production":
        refused = problem("failpoints-in-production", who=who, where=where, value=text)
        raise ConfigurationError([refused])
    try:
        failpoints.arm_from(text)
    except failpoints.UnknownFailpoint as error:
        unknown = problem("failpoint", who=who, where=where, error=error, value=text)
        raise ConfigurationError([unknown]) from None
    log.warning("failpoints are armed, this process may fail on purpose", armed=text)


def exit_process(status: int) -> NoReturn:
    """End this process. After a failed start, or during a ping, the exit handlers are skipped.

    Python calls the exit handlers of C libraries while daemon threads and threads of C libraries
    still run. OpenSSL's handler frees memory that a connecting thread reads, for example one of
    librdkafka; the process then dies of SIGSEGV. Such threads run during a ping of a backend and
    after a failed start, which closes no client.
    """
    if status or any(thread.name == PING_THREAD for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    sys.exit(status)
