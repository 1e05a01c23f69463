"""``rolehost batches``: batches in the service database."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec
from rolehost.api import CommandContext

from rolehost_batches.batches import BatchOver, cancel_batch, find_batch
from rolehost_batches.models import Batch


@click.group()
def batches() -> None:
    """List, show and cancel batches of jobs."""


@batches.command("list")
@click.option("--state", help="Only batches in this state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def list_batches(context: CommandContext, state: str | None, limit: int) -> None:
    """List batches, newest first, one JSON object per line."""
    with context.services().database.session():
        query = Batch.select().order_by(Batch.id.desc()).limit(limit)
        if state is not None:
            query = query.where(Batch.state == state)
        rows: list[dict[str, Any]] = list(query.dicts())
    for row in rows:
        click.echo(msgspec.json.encode(row))


@batches.command()
@click.argument("batch", type=int)
@click.pass_obj
def show(context: CommandContext, batch: int) -> None:
    """Show one batch with its jobs, as JSON."""
    found = find_batch(context.services(), batch)
    if found is None:
        _fail(f"batch {batch} does not exist")
    click.echo(msgspec.json.format(msgspec.json.encode(found)))


@batches.command()
@click.argument("batch", type=int)
@click.pass_obj
def cancel(context: CommandContext, batch: int) -> None:
    """Cancel a batch: its waiting jobs, later steps and callbacks."""
    try:
        count = cancel_batch(context.services(), batch)
    except BatchOver as error:
        _fail(str(error))
    click.echo(f"batch {batch} is cancelled, {count} jobs were not over")


def _fail(text: str) -> Any:
    click.echo(text, err=True)
    sys.exit(1)
