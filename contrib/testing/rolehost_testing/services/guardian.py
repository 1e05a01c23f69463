"""Guard the folder of one server: end its processes when the owner process ends.

Runs as a separate program that uses only the standard library::

    python guardian.py PREFIX

It creates a temporary folder, writes its path to standard output, and reads lines from standard
input: ``PID`` (a process was started), ``-PID`` (it ended and was waited for) and a JSON list (a
command to run at the end). The input ends when the owner ends, also after SIGKILL. Then the
guardian kills the remaining processes with all descendants, runs the commands, and removes the
folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Seconds between two checks that the owner still lives, because a forked child of the owner may
#: keep the pipe open.
LOOK = 1.0

#: Maximum time in seconds for killed processes to end.
PATIENCE = 10.0


def parents() -> dict[int, int]:
    """Return process id → parent id of all running processes, without zombies."""
    found = {}
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,state="], stdout=subprocess.PIPE, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            pid, parent, state = line.split()[:3]
            if not state.startswith("Z"):
                found[int(pid)] = int(parent)
        return found
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text("utf-8", "replace")
            except OSError:
                continue
            # The command's name is in parentheses and may contain any characters.
            state, parent = text.rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found[int(entry.name)] = int(parent)
    return found


def family(pid: int) -> list[int]:
    """Return a process, if it runs, and all its descendants, parents first.

    Uses parent ids, not process groups: PostgreSQL puts each of its processes in a new group.
    """
    known = parents()
    found = [pid] if pid in known else []
    for member in found:
        found += [child for child, parent in known.items() if parent == member]
    return found


def signal_family(pid: int, number: int) -> list[int]:
    """Send a signal to a process and all its descendants; return the ids of the processes.

    Repeats until there are no new processes, because one may fork in the meantime.
    """
    reached: list[int] = []
    while new := [each for each in family(pid) if each not in reached]:
        for each in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)
        reached += new
    return reached


def _watch(owner: int) -> tuple[set[int], list[list[str]]]:
    """Wait for the end of the owner or of the input; return remaining processes and commands."""
    left: set[int] = set()
    commands: list[list[str]] = []
    waiting = b""
    while os.getppid() == owner:
        if not select.select([0], [], [], LOOK)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            break
        *lines, waiting = (waiting + read).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if isinstance(request, list):
                commands.append(request)
            elif request > 0:
                left.add(request)
            else:
                left.discard(-request)
    return left, commands


def _end(pid: int) -> None:
    killed = signal_family(pid, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and set(killed) & parents().keys():
        time.sleep(0.02)


def main() -> None:
    """Guard the folder until the owner ends, then clean up."""
    owner = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix=sys.argv[1])
    try:
        os.write(1, folder.encode() + b"\n")
        os.close(1)
        left, commands = _watch(owner)
        for pid in left:
            _end(pid)
        for command in commands:
            quiet = subprocess.DEVNULL
            subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
