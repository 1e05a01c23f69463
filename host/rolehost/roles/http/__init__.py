"""The http role: a Falcon ASGI application on gunicorn's asgi worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolehost.roles.process import Process


def run(process: Process) -> int:
    """Serve HTTP until a signal asks to stop; see :func:`rolehost.roles.http.server.run`."""
    from rolehost.roles.http import server

    return server.run(process)
