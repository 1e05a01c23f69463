"""Errors of memcached and of connections to it, in one line that names the setting."""

from __future__ import annotations

import socket

from pymemcache.exceptions import MemcacheUnexpectedCloseError, MemcacheUnknownError
from rolehost.api import StorageRefused, StorageUnavailable

BACKEND, SETTING = "memcached", "[memcached] servers"


def unreachable(error: Exception, server: str) -> StorageUnavailable:
    """Return the error for a server that does not answer, or whose answer is unreadable."""
    if isinstance(error, socket.gaierror):
        meaning = "there is no such host, or not yet; correct the name if it is wrong"
    elif isinstance(error, ConnectionRefusedError):
        meaning = (
            "nothing answers there (connection refused); start the server, or correct host and port"
        )
    elif isinstance(error, TimeoutError):
        meaning = "no answer in time (timed out); correct host and port, or check the server"
    elif isinstance(error, MemcacheUnexpectedCloseError | ConnectionResetError):
        meaning = "the connection was closed; is it memcached that answers there?"
    else:
        meaning = reason(error)
    return StorageUnavailable(
        f"memcached {server} ({SETTING}): {meaning}", backend=BACKEND, setting=SETTING
    )


def not_memcached(error: StorageUnavailable, server: str) -> StorageRefused | None:
    """Return the error for a server that answers a ping but is not memcached, or None."""
    if not isinstance(error.__cause__, MemcacheUnknownError):
        return None
    refused = StorageRefused(
        f"memcached {server} ({SETTING}): the server at this address is not memcached;"
        " correct host and port",
        backend=BACKEND,
        setting=SETTING,
    )
    refused.__cause__ = error.__cause__
    return refused


def reason(error: BaseException) -> str:
    """Return an error's text on one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
