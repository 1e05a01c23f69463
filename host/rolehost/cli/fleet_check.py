"""``rolehost fleet check``: whether deployments fit together, told before any of them runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rolehost.cli import exits
from rolehost.cli.options import as_json
from rolehost.cli.output import document
from rolehost.errors import Problem
from rolehost.fleet import Fleet, Member, examine
from rolehost.fleet.budgets import demand, processes
from rolehost.fleet.checking import check as check_fleet
from rolehost.fleet.findings import Findings


@click.command()
@click.argument(
    "deployments",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DEPLOYMENT...",
)
@click.option("--strict", is_flag=True, help="Let warnings fail the check too.")
@click.option(
    "--connect",
    is_flag=True,
    help="Ask the database server how many connections it takes; nothing else is connected to.",
)
@as_json
def check(deployments: tuple[Path, ...], strict: bool, connect: bool, as_json: bool) -> int:
    """Check that deployments fit together as one fleet.

    Each is checked by itself first; where all are right, they are checked against each other:
    jobs without a worker, topics without a handler, schedules without a scheduler, storage that
    is not shared, budgets of time and connections. What must be known for it of each stands in
    its section [fleet].

    Exit status 0 when they fit, also with warnings (but with --strict); 3 when there is a
    mistake; 4 when --connect does not reach the database.
    """
    fleet, problems = examine(deployments)
    findings = Findings(mistakes=problems)
    if fleet is not None:
        findings = check_fleet(fleet, connections=_limit(fleet) if connect else None)
    failed = bool(findings.mistakes or (strict and findings.warnings))
    if as_json:
        document(_as_dict(fleet, deployments, findings, not failed))
    else:
        _tell(fleet, deployments, findings)
    return exits.CONFIGURATION if failed else exits.OK


def _limit(fleet: Fleet) -> int | None:
    """Ask the database server how many connections it leaves to us; None: it has no limit.

    Raises:
        StorageError: it cannot be reached.
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


def _as_dict(
    fleet: Fleet | None, paths: Sequence[Path], findings: Findings, ok: bool
) -> dict[str, object]:
    return {
        "fleet": fleet.name if fleet else None,
        "ok": ok,
        "deployments": [_member(member) for member in fleet.members]
        if fleet
        else [{"path": str(path)} for path in paths],
        "mistakes": [problem.as_dict() for problem in findings.mistakes],
        "warnings": [problem.as_dict() for problem in findings.warnings],
    }


def _member(member: Member) -> dict[str, object]:
    return {
        "path": str(member.path),
        "name": member.name,
        "replicas": member.replicas,
        "roles": list(member.roles),
        "processes": member.replicas * processes(member),
        "database_connections": demand(member),
    }


def _tell(fleet: Fleet | None, paths: Sequence[Path], findings: Findings) -> None:
    for problem in findings.mistakes:
        click.echo(f"{problem}\n")
    for problem in findings.warnings:
        click.echo(f"warning: {problem}\n")
    if fleet is not None:
        for member in fleet.members:
            roles = ", ".join(member.roles) or "nothing"
            click.echo(f"{member.path}: {member.replicas} × {roles}")
        name = fleet.name
    else:
        name = ", ".join(map(str, paths))
    told = _count(findings.mistakes, "mistake"), _count(findings.warnings, "warning")
    summary = ", ".join(filter(None, told)) or "ok: the deployments fit together"
    click.echo(f"{name}: {summary}")


def _count(found: Sequence[Problem], noun: str) -> str:
    if not found:
        return ""
    return f"{len(found)} {noun}{'s' if len(found) > 1 else ''}"
