"""``rolehost fleet graph``: print a fleet's topology as a Mermaid flowchart or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rolehost.errors import StartError
from rolehost.redaction import masked

from rolehost_fleet.commands.sources import named_fleet, takes_fleet
from rolehost_fleet.graph import Graph, mermaid
from rolehost_fleet.graph import graph as topology

_FORMATS = ("mermaid", "json")


@click.command()
@click.argument(
    "deployments",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DEPLOYMENT...",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="Default: json if the output's name ends with .json, else mermaid.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write there instead of to the standard output.",
)
@takes_fleet
def graph(
    deployments: tuple[Path, ...], form: str | None, output: Path | None, fleet: str | None
) -> None:
    """Draw a fleet: deployments with their roles, queues, topics, and the edges between them.

    The graph shows what plugins declare; the command connects to nothing. GitHub and most editors
    show the Mermaid text as a picture.
    """
    if form is None:
        form = "json" if output and output.suffix == ".json" else "mermaid"
    text = masked(_written(topology(named_fleet(deployments, fleet)), form))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartError(f"{output} cannot be written: {error.strerror}") from error


def _written(graph: Graph, form: str) -> str:
    if form == "json":
        return json.dumps(asdict(graph), indent=2, ensure_ascii=False) + "\n"
    return mermaid(graph)
