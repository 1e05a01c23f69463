"""``rolehost fleet manifest``: write the manifests of deployments."""

from __future__ import annotations

from pathlib import Path

import click
from rolehost.cli import exits
from rolehost.redaction import masked

from rolehost_fleet.commands.sources import manifests_of, named_fleet, takes_fleet


@click.command()
@click.argument(
    "deployments", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DEPLOYMENT..."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@takes_fleet
def manifest(deployments: tuple[Path, ...], output: Path | None, fleet: str | None) -> int:
    """Write the manifests of deployments as JSON, with the plugins that are installed here.

    rolehost fleet plan reads the file, also later and on another machine: it needs neither the
    deployment files nor the plugins. The file contains no values of settings.
    """
    from rolehost_fleet.saved import encode_all

    text = masked(encode_all(manifests_of(named_fleet(deployments, fleet))))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    return exits.OK
