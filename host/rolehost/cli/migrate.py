"""``rolehost migrate``: the schema of the service database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from rolehost.cli import exits
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.database import open_database
from rolehost.cli.output import print_rows, with_times
from rolehost.errors import StartError

if TYPE_CHECKING:
    from rolehost.schema import Set
    from rolehost.storage import Database

Phase = Literal["pre", "post", "all"]

_phase = click.option(
    "--phase",
    type=click.Choice(["pre", "post", "all"]),
    default="all",
    show_default=True,
    help="Only migrations that run before (pre) or after (post) the rollout of the code.",
)


@click.group()
def migrate() -> None:
    """Apply and revert migrations of the service database.

    Plugins and the host (owner: rolehost) have migrations. If several processes migrate at the
    same time, one does the work.
    """


@migrate.command()
@takes_deployment(argument=False)
@_phase
@click.pass_obj
def up(context: Context, phase: Phase) -> None:
    """Apply pending migrations.

    While older processes run, apply --phase pre. When all of them have ended, apply --phase post.
    """
    from rolehost import schema

    with open_database(context) as database:
        applied = schema.up(database, _sets(context), phase=None if phase == "all" else phase)
    for migration in applied:
        click.echo(f"applied {migration.label}")
    if not applied:
        click.echo("no migrations are pending")


@migrate.command()
@click.argument("owner")
@click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask; required without a terminal.")
@takes_deployment(argument=False)
@click.pass_obj
def down(context: Context, owner: str, steps: int, yes: bool) -> None:
    """Revert the last migrations of OWNER, newest first. Their data is lost.

    The command asks first. It refuses while processes of the fleet run, because they need the
    tables.
    """
    from rolehost import schema

    owned = _set_of(context, owner)
    with open_database(context) as database:
        _refuse_while_used(database)
        last = schema.last(database, owned, steps)
        if last and not yes:
            _confirm(last)
            # A process may have started since the question was asked.
            _refuse_while_used(database)
        reverted = schema.down(database, owned, steps=steps)
    for migration in reverted:
        click.echo(f"reverted {migration.label}")
    if not reverted:
        click.echo(f"no migrations of {owner} are applied")


def _refuse_while_used(database: Database) -> None:
    from rolehost.roles.migrating import running_processes

    alive = running_processes(database)
    if alive:
        count = f"{len(alive)} process{'' if len(alive) == 1 else 'es'} of the fleet"
        raise StartError(
            f"{count} would lose the tables they use ({', '.join(alive)}); stop them first."
            " A killed process counts until its lease ends ([delivery] lease)"
        )


def _confirm(labels: Sequence[str]) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            f"{', '.join(labels)}: the data of these migrations would be lost, and there is no"
            " terminal to confirm; use --yes"
        )
    click.echo(f"These migrations will be reverted and their data lost: {', '.join(labels)}")
    click.confirm("Continue?", abort=True)


@migrate.command()
@takes_deployment(argument=False)
@click.option("--check", is_flag=True, help="Exit with 1 if a migration is pending or changed.")
@_phase
@as_json
@click.pass_obj
def status(context: Context, check: bool, phase: Phase, as_json: bool) -> int:
    """List migrations. States: pending, applied, changed, gone."""
    from rolehost import schema

    with open_database(context) as database:
        lines = schema.status(database, _sets(context))
    found = [line for line in lines if phase in ("all", line.phase)]
    rows = [with_times(line._asdict()) for line in found]
    print_rows(rows, as_json=as_json, empty="no migrations")
    incomplete = any(line.state in ("pending", "changed") for line in found)
    return exits.FAILED if check and incomplete else exits.OK


@migrate.command()
@click.argument("owner")
@click.argument("name")
@click.option(
    "--dialect",
    "dialects",
    multiple=True,
    type=click.Choice(["sqlite", "postgresql"]),
    help="Create a file for this dialect only; can be repeated. Default: one file for all.",
)
@click.option(
    "--phase",
    type=click.Choice(["pre", "post"]),
    default="pre",
    show_default=True,
    help="When the migration runs: before or after the rollout of the code.",
)
@takes_deployment(argument=False)
@click.pass_obj
def new(
    context: Context,
    owner: str,
    name: str,
    dialects: tuple[str, ...],
    phase: Literal["pre", "post"],
) -> None:
    """Create the next migration file of the plugin OWNER."""
    from rolehost import schema

    _, package = _set_of(context, owner)
    for file in schema.new(package, name, dialects=dialects, phase=phase):
        click.echo(f"wrote {file}")


def _sets(context: Context) -> list[Set]:
    from rolehost.schema import HOST_SET

    return [HOST_SET, *context.composition.schema_sets]


def _set_of(context: Context, owner: str) -> Set:
    from rolehost.suggest import did_you_mean

    sets = dict(_sets(context))
    if owner not in sets:
        hint = did_you_mean(owner, sets) or f"there are {', '.join(sorted(sets))}"
        raise click.BadParameter(f"{owner!r} has no migrations here; {hint}")
    return owner, sets[owner]
