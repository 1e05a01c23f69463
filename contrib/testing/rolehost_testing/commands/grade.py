"""``rolehost plugins grade``: grade plugins against criteria."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json
from rolehost.cli.output import print_json
from rolehost.discovery import InstalledPlugin, installed
from rolehost.suggest import did_you_mean, one_of

from rolehost_testing.grading import LEVELS, Grade, State, grade

_MARKS: dict[State, str] = {"met": "+", "none": " ", "unmet": "-", "open": "?"}


@click.command("grade")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.option(
    "-d",
    "--deployment",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Deployment file with the settings of the plugins. Default: no settings.",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Source folder of a single plugin. Default: its editable install.",
)
@click.option("--tests", is_flag=True, help="Also run the plugin's tests.")
@click.option("--at-least", type=click.Choice(LEVELS), help="Exit with 1 below this level.")
@click.option("-v", "--verbose", is_flag=True, help="Also list the criteria that are met.")
@as_json
@click.pass_obj
def grade_plugins(
    _context: Context,
    plugins: tuple[str, ...],
    deployment: Path | None,
    source: Path | None,
    tests: bool,
    at_least: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Grade installed plugins as bronze, silver, gold or none, and list the unmet criteria.

    Each plugin is imported, started and stopped in a separate process, with storage in memory; its
    package and sources are read. docs/grades.md lists the criteria of each level.
    """
    chosen = _choose(plugins)
    if source is not None and len({found.distribution for found in chosen}) != 1:
        raise click.BadParameter("name the one plugin of this folder", param_hint="--source")
    grades = [grade(found, deployment=deployment, source=source, tests=tests) for found in chosen]
    if as_json:
        print_json([_as_dict(each) for each in grades])
    else:
        for each in grades:
            _print(each, verbose)
    low = at_least is not None and any(_below(each, at_least) for each in grades)
    return exits.FAILED if low else exits.OK


def _choose(names: tuple[str, ...]) -> list[InstalledPlugin]:
    known = {found.name: found for found in installed()}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"installed: {one_of(known)}"
            raise click.BadParameter(f"no plugin named {name!r} is installed; {hint}")
    return [known[name] for name in names] if names else list(known.values())


def _below(graded: Grade, level: str) -> bool:
    return graded.level is None or LEVELS.index(graded.level) < LEVELS.index(level)


def _as_dict(graded: Grade) -> dict[str, Any]:
    return {
        "plugin": graded.plugin,
        "distribution": graded.distribution,
        "version": graded.version,
        "level": graded.level,
        "criteria": [
            {
                "name": each.criterion.name,
                "level": each.criterion.level,
                "state": each.state,
                "detail": each.detail,
                "what": each.criterion.what,
                "advice": "" if each.holds else each.criterion.advice,
            }
            for each in graded.findings
        ],
    }


def _print(graded: Grade, verbose: bool) -> None:
    counts = Counter(each.state for each in graded.findings)
    counted = ", ".join(f"{counts[state]} {state}" for state in _MARKS if counts[state])
    click.echo(
        f"{graded.plugin} ({graded.distribution} {graded.version}):"
        f" {graded.level or 'no level'} ({counted})"
    )
    for each in graded.findings:
        if each.holds and not verbose:
            continue
        click.echo(
            f"  {_MARKS[each.state]} {each.criterion.level:<6} {each.criterion.name}:"
            f" {each.criterion.what}"
        )
        if each.detail:
            click.echo(f"             {each.detail}")
        if not each.holds:
            click.echo(f"             to do: {each.criterion.advice}")
