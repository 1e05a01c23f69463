"""``rolehost doctor``: can this deployment run on this machine?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_json
from rolehost.redaction import masked

from rolehost_fleet.commands import doctor_checks
from rolehost_fleet.commands.doctor_checks import Level, Line

_COLOURS: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def doctor(context: Context, as_json: bool) -> int:
    """Check whether a deployment can run on this machine.

    The command checks the machine, the servers that the deployment uses (database, cache, queue,
    stream) and the schema. Every line is ok, warn or fail; warnings and failures come with a fix.
    The command connects to these servers and changes nothing. It exits with status 1 if a check
    fails.
    """
    lines = []
    for line in _lines(context):
        lines.append(line)
        if not as_json:
            _print(line)
    counts = Counter(line.level for line in lines)
    if as_json:
        print_json({"ok": not counts["fail"], "lines": [line._asdict() for line in lines]})
    else:
        click.echo(", ".join(f"{counts[level]} {level}" for level in _COLOURS if counts[level]))
    return exits.FAILED if counts["fail"] else exits.OK


def _lines(context: Context) -> Iterator[Line]:
    examined = context.examined
    composition = examined.composition
    yield from doctor_checks.versions(composition)
    yield doctor_checks.open_files()
    for problem in examined.problems:
        text = f"{problem.code}: {problem.what} ({problem.where})"
        yield Line("fail", "deployment", text, problem.fix)
    if composition is None or examined.file_errors:
        return
    if "http" in composition.roles:
        yield doctor_checks.address(composition.deployment.host.http.bind)
    if composition.backends:
        from rolehost.services import ProcessServices

        with closing(ProcessServices(composition, role="command")) as services:
            yield from doctor_checks.engines(services, context.command("migrate up"))


def _print(line: Line) -> None:
    level = click.style(f"{line.level:<4}", fg=_COLOURS[line.level])
    click.echo(f"{level}  {line.subject}: {masked(line.text)}")
    if line.fix:
        click.echo(f"      fix: {masked(line.fix)}")
