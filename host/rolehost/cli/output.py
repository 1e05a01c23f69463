"""Listings as a table or as JSON, and problems as text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from rolehost.errors import Problem
from rolehost.redaction import masked

#: Width of a table that no terminal bounds, so that nothing is cut in a pipe.
UNBOUNDED = 10_000


def listing(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows of the same keys.

    Args:
        rows: in the order in which they are shown.
        as_json: one JSON array instead of a table.
        empty: what to say instead of a table without rows.
    """
    if as_json:
        document(rows)
    elif rows:
        _table(rows)
    else:
        click.echo(empty)


def document(value: Any) -> None:
    """Print one JSON document."""
    click.echo(masked(json.dumps(value, indent=2, ensure_ascii=False)))


def problems(found: Iterable[Problem]) -> None:
    """Print problems to standard error, a blank line between them."""
    click.echo("\n\n".join(str(problem) for problem in found), err=True)


def moment(milliseconds: int | None) -> str | None:
    """Show a time of the tables as RFC 3339 text in UTC."""
    if milliseconds is None:
        return None
    shown = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def moments(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with its times as text."""
    return {
        name: moment(value) if name.endswith("_at") else value for name, value in record.items()
    }


def shown(record: dict[str, Any], *, as_json: bool) -> None:
    """Print one record of the tables: as JSON, or a line for each field."""
    readable = moments(record)
    if as_json:
        document(readable)
        return
    width = max(map(len, readable))
    for name, value in readable.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else value}")


def text(value: Any) -> str:
    """Return a value as a cell of a table."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    # Imported here: rich takes longer to load than a check takes to run.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(masked(text(cell))) for cell in row.values()))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=UNBOUNDED)
    console.print(table)
