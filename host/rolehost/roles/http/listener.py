"""The listening socket, opened before the first fork so that an error is one clear line."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from rolehost.errors import StartError
from rolehost.loopback import names_loopback
from rolehost.private import NotPrivate, bind_private, check_socket
from rolehost.roles.status import LISTENER_VARIABLE

#: Connections that the kernel keeps while all processes are busy.
BACKLOG = 2048


def inherited_listener() -> socket.socket | None:
    """Return the socket that the supervisor opened, or None without a supervisor."""
    number = os.environ.pop(LISTENER_VARIABLE, None)
    return None if number is None else socket.socket(fileno=int(number))


def open_listener(bind: str) -> socket.socket:
    """Open and bind the socket of ``[http] bind``; raise StartError with reason and fix.

    ``bind``: ``host:port``, ``[v6-address]:port``, ``:port`` (all addresses) or ``unix:/path``.
    """
    if bind.startswith("unix:"):
        return _unix(bind.removeprefix("unix:"))
    host, port = _address(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        raise StartError(_reason(bind, error)) from None
    address = listener.getsockname()[0]
    if names_loopback(host) and not names_loopback(address):
        # The access rules of this deployment assume that only this machine can connect.
        listener.close()
        raise StartError(
            f"cannot listen on {bind}: {host} is {address} here, which is not a loopback address;"
            " correct it in /etc/hosts, or write 127.0.0.1 in [http] bind"
        )
    return listener


def _address(bind: str) -> tuple[str, int]:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise StartError(
            f"[http] bind = {bind!r} is not an address: expected host:port or unix:/path,"
            ' for example "127.0.0.1:8000"'
        )
    return host.strip("[]") or "0.0.0.0", int(port)


def _reason(bind: str, error: Exception) -> str:
    reasons = {
        errno.EADDRINUSE: "the address is in use by another process;"
        " stop it (ss -ltnp lists who listens) or set [http] bind",
        errno.EACCES: "ports below 1024 need a privilege; set [http] bind",
        errno.EADDRNOTAVAIL: "this machine has no such address; set [http] bind",
    }
    reason = reasons.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, (socket.gaierror, UnicodeError)):
        reason = "the host name is unknown here; set [http] bind"
    return f"cannot listen on {bind}: {reason or error}"


def _unix(path: str) -> socket.socket:
    if not path:
        raise StartError('[http] bind = "unix:" has no path; expected unix:/path')
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(Path(path))
        bind_private(listener, Path(path))
        listener.listen(BACKLOG)
    except NotPrivate as error:
        listener.close()
        raise NotPrivate(f"cannot listen on unix:{error}, or set [http] bind") from None
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise StartError(f"cannot listen on unix:{path}: {reason}; set [http] bind") from None
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket of this user on which no process listens."""
    if not check_socket(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another process listens on it")
