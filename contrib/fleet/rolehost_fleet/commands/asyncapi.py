"""``rolehost asyncapi``: the events of deployments as a document, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rolehost.cli.context import Context
from rolehost.cli.output import document
from rolehost.errors import StartError

from rolehost_fleet.commands.sources import named_fleet, takes_fleet


@click.command()
@click.argument("deployments", nargs=-1, type=click.Path(path_type=Path), metavar="[DEPLOYMENT]...")
@click.option("--compact", is_flag=True, help="One line.")
@takes_fleet
@click.pass_obj
def asyncapi(
    context: Context, deployments: tuple[Path, ...], compact: bool, fleet: str | None
) -> None:
    """Print the AsyncAPI 3.0 document of deployments: which events they send and receive.

    It is made from what plugins declare: topics, handlers with their groups, and the types of
    payloads that are told. Of several deployments it is one document of the fleet.
    """
    from rolehost_fleet.asyncapi import asyncapi as made

    paths = deployments or ((context.path,) if context.path else ())
    if not paths:
        raise StartError("no deployment was named, and there is no rolehost.toml")
    told = made(named_fleet(paths, fleet))
    if compact:
        click.echo(json.dumps(told, ensure_ascii=False, separators=(",", ":")))
    else:
        document(told)
