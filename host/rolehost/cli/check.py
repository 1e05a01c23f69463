"""``rolehost check``: all checks that need no running process and no connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from rolehost.cli import exits
from rolehost.cli.context import Context, as_json
from rolehost.cli.lazy import import_command
from rolehost.cli.output import print_json
from rolehost.composition import Composition, in_order
from rolehost.errors import Problem, RolehostError


@click.command()
@click.argument("deployments", nargs=-1, type=click.Path(path_type=Path), metavar="[DEPLOYMENT]...")
@click.option("--plugins", metavar="A,B", help="Enable these plugins, not those of the file.")
@as_json
@click.pass_obj
def check(
    context: Context, deployments: tuple[Path, ...], plugins: str | None, as_json: bool
) -> int:
    """Check deployments: files, settings, plugins and how they fit together.

    The check connects to nothing and starts nothing. It reports all errors of all deployments and
    exits with status 3 if there is an error. Warnings leave the status at 0.
    """
    names = tuple(plugins.split(",")) if plugins is not None else context.plugins
    paths = deployments or (context.path,)
    results = [(path, *_examine(Context(path, names))) for path in paths]
    if as_json:
        print_json([_as_dict(*result) for result in results])
    else:
        for result in results:
            _print(*result)
    return exits.CONFIGURATION if any(found for _, _, found in results) else exits.OK


def _examine(context: Context) -> tuple[Composition | None, tuple[Problem, ...]]:
    found = context.examined
    if found.composition is None:
        return None, found.problems
    return found.composition, in_order((*found.problems, *_commands(found.composition)))


def _commands(composition: Composition) -> Iterator[Problem]:
    """Yield a problem for each command of a plugin that cannot be imported."""
    for owned in composition.commands:
        command = owned.value
        try:
            import_command(command.target)
        except RolehostError as error:
            plugin = composition.plugin(owned.plugin)
            yield Problem(
                code="command-target",
                who=f"plugin {plugin.name} ({plugin.distribution} {plugin.version})",
                where=command.target,
                what=f"the command {command.name} cannot be imported",
                expected="module:attribute of a click command",
                got=str(error),
                fix="correct the target, or the module that it names",
            )


def _as_dict(
    path: Path | None, composition: Composition | None, found: tuple[Problem, ...]
) -> dict[str, object]:
    return {
        "deployment": str(path) if path else None,
        "ok": not found,
        "plugins": [plugin.name for plugin in composition.plugins] if composition else [],
        "roles": list(composition.roles) if composition else [],
        "problems": [problem.as_dict() for problem in found],
        "warnings": [each.as_dict() for each in composition.warnings] if composition else [],
    }


def _print(path: Path | None, composition: Composition | None, found: tuple[Problem, ...]) -> None:
    name = str(path) if path else "(no deployment file)"
    if found:
        for problem in found:
            click.echo(f"{problem}\n")
        click.echo(f"{name}: {_number(len(found), 'error')}")
        return
    assert composition is not None  # there is one if there are no problems
    for warning in composition.warnings:
        click.echo(f"{warning}\n")
    if not composition.plugins:
        click.echo(f"{name}: ok: no plugin is enabled, so there is nothing to run")
        return
    roles = ", ".join(composition.roles) or "none"
    plugins = _number(len(composition.plugins), "plugin")
    count = len(composition.warnings)
    warnings = f", {_number(count, 'warning')}" if count else ""
    click.echo(f"{name}: ok: {plugins}, roles: {roles}{warnings}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
