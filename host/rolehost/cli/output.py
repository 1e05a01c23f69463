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


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows with the same keys; ``empty`` is printed instead of a table without rows."""
    if as_json:
        print_json(rows)
    elif rows:
        _table(rows)
    else:
        click.echo(empty)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(masked(json.dumps(value, indent=2, ensure_ascii=False)))


def print_problems(found: Iterable[Problem]) -> None:
    """Print problems to standard error, separated by blank lines."""
    click.echo("\n\n".join(str(problem) for problem in found), err=True)


def rfc3339(milliseconds: int | None) -> str | None:
    """Return a time of the database as RFC 3339 text in UTC."""
    if milliseconds is None:
        return None
    shown = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def with_times(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the database with its times as text."""
    return {
        name: rfc3339(value) if name.endswith("_at") else value for name, value in record.items()
    }


def print_record(record: dict[str, Any], *, as_json: bool) -> None:
    """Print one record of the database: as JSON, or a line for each field."""
    readable = with_times(record)
    if as_json:
        print_json(readable)
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
    head = [name.replace("_", " ") for name in rows[0]]
    cells = [[masked(text(cell)) for cell in row.values()] for row in rows]
    if sys.stdout.isatty():
        _print_rich(head, cells)
        return
    lines = [head, *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_rich(head: Sequence[str], cells: Iterable[Iterable[str]]) -> None:
    # PERF: importing rich takes a tenth of the time of a listing.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for line in cells:
        table.add_row(*map(Text, line))
    Console(highlight=False).print(table)
