"""Client ids of members of consumer groups, which name machine and process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from functools import cache
from pathlib import Path


def member_name(client_id: str) -> str:
    """Return the client id of this process's members: ``CLIENT_ID-MACHINE-PID``."""
    return f"{client_id}-{_machine()}-{os.getpid()}"


def is_departed(name: str) -> bool:
    """Return whether a client id names a process of this machine that has ended."""
    rest, _, pid = name.rpartition("-")
    if rest.rpartition("-")[2] != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _machine() -> str:
    """Return a hash that names this machine and its pid namespace, in which a pid is unique."""
    known = [socket.gethostname()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]
