"""``rolehost fleet check``: check that deployments fit together before they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from rolehost.cli import exits
from rolehost.cli.context import as_json
from rolehost.cli.output import print_json
from rolehost.composition.manifest import Manifest
from rolehost.errors import StartError

from rolehost_fleet.budgets import demand, processes
from rolehost_fleet.checking import check as check_fleet
from rolehost_fleet.commands.sources import expanded
from rolehost_fleet.findings import Findings
from rolehost_fleet.loading import examine
from rolehost_fleet.model import Fleet, FleetMember
from rolehost_fleet.saved import decode_all
from rolehost_fleet.status import count


@click.command()
@click.argument(
    "deployments",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DEPLOYMENT...",
)
@click.option("--strict", is_flag=True, help="Warnings also fail the check.")
@click.option(
    "--connect",
    is_flag=True,
    help="Read the connection limit from the database server; connect to nothing else.",
)
@click.option(
    "--manifest",
    "manifests",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Output of rolehost fleet manifest in another image of this fleet; it must have the same"
    " versions. Can be repeated.",
)
@as_json
def check(
    deployments: tuple[Path, ...],
    strict: bool,
    connect: bool,
    manifests: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Check that deployments fit together as one fleet.

    Each deployment is checked alone first. If all are correct, they are checked against each
    other: jobs without a worker, topics without a handler, schedules without a scheduler, storage
    that is not shared, grace periods, and database connections. The checks read the section
    [fleet] of each deployment.

    DEPLOYMENTs are files, folders or quoted patterns. Files that enable no plugin are ignored:
    other files include them. Deployments with different [fleet] names are different fleets, and
    each fleet is checked alone.

    The exit status is 0 if there is no error (with --strict: no warning either), 3 if there is an
    error, 4 if a file cannot be read or --connect cannot reach the database.
    """
    results = _results(expanded(deployments), _read(manifests), connect)
    failed = any(
        result.findings.errors or (strict and result.findings.warnings) for result in results
    )
    if as_json:
        print_json({"ok": not failed, "fleets": [_as_dict(result) for result in results]})
    else:
        for result in results:
            _print(result)
    return exits.CONFIGURATION if failed else exits.OK


class Result(NamedTuple):
    """The result for one fleet.

    Attributes:
        name: name of the fleet; names of the files if a deployment alone has errors.
        members: deployments of the fleet; empty if a deployment alone has errors.
        findings: errors and warnings.
    """

    name: str
    members: tuple[FleetMember, ...]
    findings: Findings


def _results(paths: Sequence[Path], elsewhere: Sequence[Manifest], connect: bool) -> list[Result]:
    """Check each fleet of these files, if each deployment alone is correct."""
    whole, problems = examine(paths)
    if whole is None:
        return [Result(", ".join(map(str, paths)), (), Findings(errors=problems))]
    members = tuple(member for member in whole.members if member.composition.plugins)
    if not members:
        raise StartError(f"{', '.join(map(str, paths))}: no deployment here enables a plugin")
    return [
        Result(
            fleet.name,
            fleet.members,
            check_fleet(fleet, connections=_limit(fleet) if connect else None, manifests=elsewhere),
        )
        for fleet in Fleet(members=members).split()
    ]


def _read(files: Sequence[Path]) -> tuple[Manifest, ...]:
    """Read the manifests of other images.

    Raises:
        StartError: a file does not contain manifests.
    """
    found: list[Manifest] = []
    for file in files:
        try:
            found += decode_all(file.read_text("utf-8"))
        except ValueError as error:
            raise StartError(f"{file}: {error}") from None
    return tuple(found)


def _limit(fleet: Fleet) -> int | None:
    """Return the connection limit of the database server, or None if it has no limit.

    Raises:
        StorageError: the server cannot be reached.
    """
    for member in fleet.using("database"):
        database: Any = member.composition.backends["database"].value.factory()
        try:
            with database.session():
                limit: int | None = database.connection_limit()
        finally:
            database.close()
        return limit
    return None


def _as_dict(result: Result) -> dict[str, object]:
    return {
        "fleet": result.name,
        "deployments": [_member(member) for member in result.members],
        "errors": [problem.as_dict() for problem in result.findings.errors],
        "warnings": [problem.as_dict() for problem in result.findings.warnings],
    }


def _member(member: FleetMember) -> dict[str, object]:
    return {
        "path": str(member.path),
        "name": member.name,
        "replicas": member.replicas,
        "roles": list(member.roles),
        "processes": member.replicas * processes(member),
        "database_connections": demand(member),
    }


def _print(result: Result) -> None:
    for problem in result.findings.errors:
        click.echo(f"{problem}\n")
    for problem in result.findings.warnings:
        click.echo(f"warning: {problem}\n")
    for member in result.members:
        click.echo(f"{member.path}: {member.replicas} × {', '.join(member.roles) or 'nothing'}")
    found = (("error", result.findings.errors), ("warning", result.findings.warnings))
    counts = [count(len(problems), noun) for noun, problems in found if problems]
    click.echo(f"{result.name}: {', '.join(counts) or 'ok: the deployments fit together'}")
