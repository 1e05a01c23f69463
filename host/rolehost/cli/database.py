"""The service database for commands that look after jobs and dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rolehost.errors import StartError

if TYPE_CHECKING:
    from rolehost.cli.context import Context
    from rolehost.services import ProcessServices


@contextmanager
def opened(context: Context) -> Iterator[ProcessServices]:
    """Open the deployment's storage, without starting plugins, inside a database session.

    Raises:
        StartError: the deployment has no database, or the host's tables are not there.
        StorageUnavailable: it cannot be reached.
    """
    from rolehost.roles.migrating import require_pre
    from rolehost.schema import HOST_SET
    from rolehost.services import ProcessServices

    if "database" not in context.composition.backends:
        raise StartError("this deployment has no database, so it has no jobs and no dead letters")
    services = ProcessServices(context.composition, role="command")
    try:
        with services.database.session():
            require_pre(services.database, [HOST_SET])
            services.wait_for_writers()
            yield services
    finally:
        services.close()


def moment(milliseconds: int | None) -> str | None:
    """Show a time of the tables as RFC 3339 text in UTC."""
    if milliseconds is None:
        return None
    shown = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def shown(record: dict[str, Any], *, as_json: bool) -> None:
    """Print one record: as JSON, or a line for each field."""
    if as_json:
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else value}")
