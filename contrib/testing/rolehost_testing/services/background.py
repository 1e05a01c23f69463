"""Run a set of engines in the background, for development or a whole test run.

A separate process runs the servers and writes their URLs to a state file. It ends on SIGTERM, or
when the process that owns it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rolehost.private import private_file
from rolehost.supervisor.plan import module_command

from rolehost_testing.services.engines import VARIABLES, start_shared
from rolehost_testing.services.places import Missing
from rolehost_testing.services.server import Server, StartFailed

#: Seconds between two checks that the owner process still runs.
LOOK = 1.0

#: Maximum time in seconds for all engines to end.
PATIENCE = 60.0


def read(state: Path) -> dict[str, Any] | None:
    """Return the state (``pid``, ``urls`` and ``missing`` by engine); None if nothing runs."""
    try:
        found: dict[str, Any] = json.loads(state.read_bytes())
    except FileNotFoundError:
        return None
    return found if _runs(found["pid"]) else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def up(state: Path, names: Sequence[str], owner: int | None) -> dict[str, Any]:
    """Start engines in the background unless a set already runs; return the state.

    Args:
        state: the state file; its folder is created.
        names: engines to start, except those with a server in the environment.
        owner: id of a process; the engines end with it. None: only :func:`down` ends them.

    Raises:
        StartFailed: the engines did not start; the message ends with the output.
    """
    if running := read(state):
        return running
    state.parent.mkdir(parents=True, exist_ok=True)
    state.unlink(missing_ok=True)
    log = state.with_suffix(".log")
    with log.open("wb") as output:
        command = [*module_command(__package__), "--state", str(state), "serve", *names]
        holder = subprocess.Popen(
            [*command, *(["--owner", str(owner)] if owner else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not state.exists():
        if holder.poll() is not None:
            raise StartFailed(f"no engines:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.05)
    return json.loads(state.read_bytes())  # type: ignore[no-any-return]


def down(state: Path) -> bool:
    """End the engines and wait for their end; return False if none ran."""
    running = read(state)
    if running is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(running["pid"], signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while read(state) is not None and time.monotonic() < until:
        time.sleep(0.05)
    return True


def serve(state: Path, names: Sequence[str], owner: int | None) -> None:
    """Run the engines until SIGTERM or until the owner ends. Must run in the main thread."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    wanted = [name for name in names if not os.environ.get(VARIABLES[name])]
    missing: dict[str, str] = {}
    servers: dict[str, Server] = {}

    def begin(name: str) -> None:
        try:
            servers[name] = start_shared(name)
        except Missing as reason:
            missing[name] = str(reason)

    try:
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(begin, wanted))
        written = state.with_suffix(".new")
        urls = {name: servers[name].url for name in wanted if name in servers}
        content = {"pid": os.getpid(), "urls": urls, "missing": missing}
        written.unlink(missing_ok=True)
        with os.fdopen(private_file(written), "w", encoding="utf-8") as output:  # has passwords
            json.dump(content, output)
        written.replace(state)
        while not ending.wait(LOOK) and (owner is None or _runs(owner)):
            pass
    finally:
        for server in servers.values():
            server.close()
        state.unlink(missing_ok=True)
