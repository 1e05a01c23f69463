"""File descriptors that the supervisor opens: the listening socket and files without a name."""

from __future__ import annotations

import os
from pathlib import Path

from rolehost.errors import StartError
from rolehost.roles.http.listener import open_listener
from rolehost.supervisor.plan import ProcessPlan


def listening_socket(bind: str, old: ProcessPlan | None = None) -> int:
    """Return the listening socket of the role http; -1 if ``bind`` is empty.

    A reload keeps the socket of the ``old`` plan if the address is the same, so that no
    connection is refused. StartError: the address cannot be bound.
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
            f"{error} (during a reload the old address {old.bind} stays in use until the end,"
            " so the new address must not overlap it)"
        ) from None


def close_listening_socket(plan: ProcessPlan) -> None:
    """Close the listening socket of a plan, and remove the file of a Unix socket."""
    if plan.listener < 0:
        return
    os.close(plan.listener)
    if plan.bind.startswith("unix:"):
        Path(plan.bind.removeprefix("unix:")).unlink(missing_ok=True)


def anonymous_file() -> int:
    """Return the descriptor of a file without a name, in memory if possible (memfd_create)."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rolehost-deployment")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
