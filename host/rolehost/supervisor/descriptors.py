"""File descriptors that the supervisor hands to its processes: the listening socket, memory files.

The supervisor opens the listening socket of the role http. It outlives the processes, so that no
connection is refused while they are replaced or started again.
"""

from __future__ import annotations

import os
from pathlib import Path

from rolehost.errors import StartError
from rolehost.roles.http.listener import open_listener
from rolehost.supervisor.plan import ProcessPlan


def listening_socket(bind: str, old: ProcessPlan | None = None) -> int:
    """Return the listening socket for an address, as a file descriptor; -1 for no address.

    Args:
        bind: ``[http] bind``, empty without the role http.
        old: a plan whose socket is taken when the address is the same.

    Raises:
        StartError: it cannot be had.
    """
    if old is not None and bind == old.bind:
        return old.listener
    if not bind:
        return -1
    try:
        return open_listener(bind).detach()
    except StartError as error:
        if old is None or old.listener < 0:
            raise
        raise StartError(
            f"{error} (in a reload, the address {old.bind} of the present one is served until"
            " the end: the new one must not overlap it)"
        ) from None


def close_listening_socket(plan: ProcessPlan) -> None:
    """Close the listening socket of a plan, and remove its address where that is a file."""
    if plan.listener < 0:
        return
    os.close(plan.listener)
    if plan.bind.startswith("unix:"):
        Path(plan.bind.removeprefix("unix:")).unlink(missing_ok=True)


def anonymous_file() -> int:
    """Return the descriptor of a file without a name, in memory where the system can do that.

    It is not inherited by itself.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rolehost-deployment")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
