"""``rolehost limits``: the limits of jobs in force, and their changes at run time."""

from __future__ import annotations

from typing import Any

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_rows

from rolehost_control.ledger import open_ledger, open_services

_NUMBER = click.IntRange(1, 2**31 - 1)
_partition = click.option("--partition", metavar="VALUE", help="Only this partition of the actor.")


@click.group(invoke_without_command=True)
@takes_deployment(argument=False)
@as_json
@click.pass_context
def limits(ctx: click.Context, as_json: bool) -> None:
    """List the limits of jobs with their claimed jobs, or change them at run time.

    "partition:ACTOR" is the limit of each partition of the actor. "open" counts the partitions
    whose jobs may be claimed, "closed" the partitions that are empty or full.
    """
    from rolehost.composition.limits import deployed
    from rolehost.delivery import limitstore

    if ctx.invoked_subcommand is not None:
        return
    composition = ctx.ensure_object(Context).composition
    actors = {
        name: owned.value for name, owned in composition.actors.items() if owned.value.durable
    }
    with open_ledger(ctx.obj) as database:
        found = limitstore.listing(database, actors, deployed(composition.deployment.host))
    rows = [
        {
            "name": each.name,
            "concurrency": each.limits.concurrency,
            "rate": each.limits.rate,
            "burst": each.limits.burst if each.limits.rate is not None else None,
            "source": each.source,
            "held": each.held,
            "open": each.open,
            "closed": each.closed,
        }
        for each in found
    ]
    print_rows(rows, as_json=as_json, empty="no actor or queue has limits or partitions")


@limits.command("set")
@click.argument("name")
@takes_deployment(argument=False)
@click.option("--concurrency", type=_NUMBER, help="Maximum number of jobs at the same time.")
@click.option("--rate", type=float, help="Maximum number of jobs per second.")
@click.option("--burst", type=_NUMBER, help="Jobs that may start at once after a pause.")
@_partition
@click.pass_obj
def set_limit(context: Context, /, name: str, partition: str | None, **numbers: Any) -> None:
    """Set the limit NAME, for example actor:deliver or queue:mail, for the whole fleet.

    Numbers that are not given do not change. Workers apply the limit within a second, idle workers
    at their next poll.
    """
    from rolehost.delivery import limitstore
    from rolehost.delivery.scopes import unit_of_work

    given = {option: value for option, value in numbers.items() if value is not None}
    if not given:
        raise click.UsageError("give --concurrency, --rate or --burst")
    with open_services(context) as services:
        actors, now = services.delivery.declared.actors, services.clock.now()
        try:
            limit = limitstore.full_name(actors, name, partition)
            with unit_of_work(services.delivery) as work:
                changed = limitstore.change(work.transaction, actors, limit, now, **given)
        except (TypeError, ValueError) as error:
            raise click.UsageError(str(error)) from None
    click.echo(f"{limit}: {changed}")


@limits.command()
@click.argument("name")
@takes_deployment(argument=False)
@_partition
@click.pass_obj
def reset(context: Context, name: str, partition: str | None) -> int:
    """Reset the limit NAME to the value of the deployment or the plugin."""
    from rolehost.delivery import limitstore
    from rolehost.delivery.scopes import unit_of_work

    with open_services(context) as services:
        try:
            limit = limitstore.full_name(services.delivery.declared.actors, name, partition)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        with unit_of_work(services.delivery) as work:
            done = limitstore.reset(work.transaction, limit, services.clock.now())
    if not done:
        click.echo(f"{limit} has no limit that was set at run time", err=True)
        return exits.FAILED
    click.echo(f"{limit}: reset")
    return exits.OK
