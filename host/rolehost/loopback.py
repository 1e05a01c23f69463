"""Addresses to listen on. Imports the standard library only, because the supervisor uses it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def names_loopback(host: str) -> bool:
    """Return whether a host is ``localhost`` or a loopback address; no name is resolved."""
    if host.lower() == "localhost":
        return True
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def is_address(bind: str) -> bool:
    """Return whether ``[http] bind`` has a valid form.

    NUL at the beginning of a path means an abstract socket (unix(7)), which has no permissions.
    """
    if "\0" in bind:
        return False
    if bind.startswith("unix:"):
        return bind != "unix:"
    _, colon, port = bind.rpartition(":")
    return bool(colon) and port.isascii() and port.isdecimal() and int(port) < 65_536


def binds_locally(bind: str) -> bool:
    """Return whether ``[http] bind`` is a Unix socket or certainly a loopback address.

    A name other than ``localhost`` is not certain, because it may resolve to any address.
    """
    return bind.startswith("unix:") or names_loopback(bind.rpartition(":")[0])
