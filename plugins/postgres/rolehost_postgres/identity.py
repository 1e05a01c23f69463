"""The database of the settings, without the driver and without a secret."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from rolehost_postgres.settings import PostgresSettings


def identity(settings: PostgresSettings) -> str:
    """Return ``host:port/database``; empty if libpq's environment decides a part of it.

    The forms of a URI: https://www.postgresql.org/docs/current/libpq-connect.html.
    """
    if settings.url is None:
        return ""
    try:
        parts = urlsplit(settings.url.reveal())
        asked = parse_qs(parts.query)
    except ValueError:
        return ""
    servers = parts.netloc.rpartition("@")[2]
    hosts = asked.get("host", [servers])[0]
    name = asked.get("dbname", [parts.path.strip("/")])[0]
    if not hosts or not name or "service" in asked:
        return ""
    port = asked.get("port", ["5432"])[0]
    places = sorted(unquote(host) + _port(host, port) for host in hosts.split(","))
    return f"{','.join(places)}/{unquote(name)}"


def _port(host: str, port: str) -> str:
    """Return ``:port`` for a host without a port; IPv6 addresses have brackets."""
    return "" if ":" in host.rpartition("]")[2] else f":{port}"
