"""``rolehost fleet why KIND:NAME``: who sends a thing and who takes it, across deployments."""

from __future__ import annotations

from pathlib import Path

import click
from rolehost.cli.context import as_json
from rolehost.cli.explain import KINDS
from rolehost.cli.why import answer, explain_off, split

from rolehost_fleet.commands.explain import explain_fleet
from rolehost_fleet.commands.sources import fleet_of


@click.command(epilog=f"KIND is one of {', '.join(KINDS)}.")
@click.argument("subject", metavar="KIND:NAME")
@click.argument(
    "deployments",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DEPLOYMENT...",
)
@as_json
def why(subject: str, deployments: tuple[Path, ...], as_json: bool) -> int:
    """Say who gives, sends and takes a thing across DEPLOYMENTs; exit status 1: it is off.

    DEPLOYMENTs are files, folders or quoted patterns. See rolehost why for the subjects.
    """
    kind, name = split(subject)
    fleet = fleet_of(deployments)
    facts = explain_fleet(fleet, kind, name)
    if facts is not None:
        return answer(subject, True, facts, as_json)
    compositions = [member.composition for member in fleet.members]
    paths = " or ".join(str(member.path) for member in fleet.members)
    return answer(subject, False, explain_off(compositions, kind, name, paths), as_json)
