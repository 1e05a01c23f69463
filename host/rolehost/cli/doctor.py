"""``rolehost doctor``: whether a deployment could run here, line by line."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.doctor_lines import Line, fail
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import document
from rolehost.composition import Composition, examine, in_order
from rolehost.deployment import read
from rolehost.redaction import masked

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def doctor(context: Context, as_json: bool) -> int:
    """Look whether a deployment can run here: this machine, its engines, its schema.

    Every line is ok, warn or fail; a warning and a failure come with what to do. Engines are
    asked, and nothing is changed. Exit status 1 when anything fails.
    """
    lines = []
    for line in _looked(context):
        lines.append(line)
        if not as_json:
            _tell(line)
    levels = [line.level for line in lines]
    failed = levels.count("fail")
    if as_json:
        document({"ok": not failed, "lines": [line._asdict() for line in lines]})
    else:
        counted = [f"{levels.count(level)} {level}" for level in _COLOURS if level in levels]
        click.echo(", ".join(counted))
    return exits.FAILED if failed else exits.OK


def _looked(context: Context) -> Iterator[Line]:
    from rolehost.cli import doctor_machine as machine

    composition, mistakes = _composed(context)
    yield from machine.versions(composition)
    yield from machine.limits()
    yield from mistakes
    if composition is None:
        return
    yield from machine.secrets(composition)
    yield from machine.address(composition)
    yield from machine.capabilities(composition)
    if composition.backends:
        from rolehost.cli.doctor_engines import engines
        from rolehost.services import ProcessServices

        services = ProcessServices(composition, role="command")
        try:
            yield from engines(services, composition.schema_sets)
        finally:
            services.close()


def _composed(context: Context) -> tuple[Composition | None, list[Line]]:
    """Compose the deployment; its mistakes are findings like others here."""
    deployment, found = read(context.path, plugins=context.plugins)
    composition, problems = examine(deployment)
    mistakes = in_order((*found, *problems))
    lines = [
        fail("deployment", f"{problem.code}: {problem.what} ({problem.where})", problem.fix)
        for problem in mistakes
    ]
    return (None if mistakes else composition), lines


def _tell(line: Line) -> None:
    level = click.style(f"{line.level:<4}", fg=_COLOURS[line.level])
    click.echo(f"{level}  {line.subject}: {masked(line.text)}")
    if line.fix:
        click.echo(f"      fix: {masked(line.fix)}")
