"""``rolehost asyncapi``: print the AsyncAPI document of deployments."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rolehost.cli.context import Context
from rolehost.cli.output import print_json
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
    """Print the AsyncAPI 3.0 document of the events that deployments send and receive.

    It contains what plugins declare: topics, handlers with their groups, and payload types.
    Several deployments make one document of the fleet.
    """
    from rolehost_fleet.asyncapi import asyncapi as made

    paths = deployments or ((context.path,) if context.path else ())
    if not paths:
        raise StartError("no deployment was named, and there is no rolehost.toml")
    content = made(named_fleet(paths, fleet))
    if compact:
        click.echo(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    else:
        print_json(content)
