"""``rolehost schedules``: schedules with their last and next ticks, and changes at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rolehost.api.contributions import Schedule
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_rows, rfc3339
from rolehost.composition.topology import actor_of, when
from rolehost.errors import StartError, StorageError
from rolehost.suggest import did_you_mean

from rolehost_control.ledger import open_ledger, open_services

if TYPE_CHECKING:
    from rolehost.delivery.tickstate import TickState
    from rolehost.storage import Transaction


@click.group(invoke_without_command=True)
@takes_deployment(argument=False)
@click.option("--declared", is_flag=True, help="List only declarations; do not read the database.")
@as_json
@click.pass_context
def schedules(ctx: click.Context, declared: bool, as_json: bool) -> None:
    """List schedules with their times, last and next ticks, or change them at run time.

    What is not declared is read from the database, and omitted if the database cannot be reached.
    """
    if ctx.invoked_subcommand is not None:
        return
    context = ctx.ensure_object(Context)
    states = None if declared else _states(context)
    rows: list[dict[str, Any]] = [
        {
            "name": owned.value.name,
            "when": when(owned.value),
            "actor": actor_of(owned.value),
            "arguments": dict(owned.value.arguments),
            "missed": owned.value.missed,
            "overlap": owned.value.overlap,
            "plugin": owned.plugin,
            "location": owned.location,
            **(_run_time(owned.value, states) if states is not None else {}),
        }
        for owned in context.composition.schedules
    ]
    rows.sort(key=lambda row: str(row["name"]))
    print_rows(rows, as_json=as_json, empty="no enabled plugin contributes a schedule")


def _states(context: Context) -> Mapping[str, TickState] | None:
    from rolehost.delivery import tickstate

    composition = context.composition
    if not composition.schedules or "database" not in composition.backends:
        return None
    try:
        with open_ledger(context) as database:
            return tickstate.read(database)
    except (StartError, StorageError) as error:
        click.echo(f"the state of the schedules is unknown: {str(error).splitlines()[0]}", err=True)
        return None


def _run_time(schedule: Schedule, states: Mapping[str, TickState]) -> dict[str, Any]:
    """Return what the database knows of a schedule, and its next tick."""
    import time

    from rolehost.delivery import cron, tickstate

    state = states.get(schedule.name)
    in_force = tickstate.in_force(schedule, state)
    try:
        following = rfc3339(cron.following(in_force, time.time_ns() // 1_000_000))
    except Exception:  # the scheduler records the error
        following = None
    if state is None:
        empty = {"last": None, "job": None, "skipped": 0, "failures": 0, "error": None}
        return {"next": following, **empty}
    failed = state.failed_at is not None and state.failed_at >= state.last_tick
    return {
        "when": when(in_force) + (" (set at run time)" if state.changed else ""),
        "next": "paused" if state.paused else following,
        "last": rfc3339(state.last_tick),
        "job": state.last_job,
        "skipped": state.skipped,
        "failures": state.failures,
        "error": state.error if failed else None,
    }


@schedules.command()
@click.argument("name")
@takes_deployment(argument=False)
@click.pass_obj
def pause(context: Context, name: str) -> None:
    """Stop the ticks of the schedule NAME until "resume"."""
    from rolehost.delivery import tickstate

    _change(context, name, lambda tx, each, now: tickstate.pause(tx, each.name, now))
    click.echo(f"{name}: paused")


@schedules.command()
@click.argument("name")
@takes_deployment(argument=False)
@click.pass_obj
def resume(context: Context, name: str) -> None:
    """Let the schedule NAME tick again. Ticks of the pause are not caught up."""
    from rolehost.delivery import tickstate

    _change(context, name, lambda tx, each, now: tickstate.resume(tx, each.name, now))
    click.echo(f"{name}: resumed")


@schedules.command("set")
@click.argument("name")
@takes_deployment(argument=False)
@click.option("--cron", metavar="EXPRESSION", help="Five fields, or six with the seconds first.")
@click.option("--every", type=float, metavar="SECONDS", help="Seconds between ticks.")
@click.option("--timezone", metavar="ZONE", help="IANA name of the time zone.")
@click.pass_obj
def set_times(
    context: Context, name: str, cron: str | None, every: float | None, timezone: str | None
) -> None:
    """Set when the schedule NAME ticks, for the whole fleet, until "reset".

    The scheduler follows within a second.
    """
    from rolehost.delivery import cron as crons
    from rolehost.delivery import tickstate

    def change(tx: Transaction, declared: Schedule, now: int) -> None:
        zone = timezone or declared.timezone
        changed = replace(declared, cron=cron, every=every, timezone=zone)
        crons.check(changed, now)
        tickstate.change(tx, changed, now)

    _change(context, name, change)
    click.echo(f"{name}: {cron or f'every {every:g} s'}")


@schedules.command()
@click.argument("name")
@takes_deployment(argument=False)
@click.pass_obj
def reset(context: Context, name: str) -> None:
    """Let the schedule NAME tick at the times that its plugin declares."""
    from rolehost.delivery import tickstate

    _change(context, name, lambda tx, each, now: tickstate.reset(tx, each.name, now))
    click.echo(f"{name}: reset")


@schedules.command("run")
@click.argument("name")
@takes_deployment(argument=False)
@click.pass_obj
def run_now(context: Context, name: str) -> None:
    """Enqueue a job of the schedule NAME now; its ticks do not change."""
    from rolehost.delivery import tickstate
    from rolehost.delivery.scopes import unit_of_work
    from rolehost.delivery.ticks import enqueue

    schedule = _declared(context, name)
    with open_services(context) as services, unit_of_work(services.delivery) as work:
        tickstate.ensure(work.transaction, name, services.clock.now())
        job = enqueue(work, schedule)
    click.echo(f"{name}: job {job.id}" + ("" if job.created else " has not finished; no new job"))


def _change(
    context: Context, name: str, change: Callable[[Transaction, Schedule, int], None]
) -> None:
    from rolehost.delivery.scopes import unit_of_work

    schedule = _declared(context, name)
    with open_services(context) as services:
        try:
            with unit_of_work(services.delivery) as work:
                change(work.transaction, schedule, services.clock.now())
        except StorageError:
            raise
        except Exception as error:  # for example a cron expression that is not valid
            raise click.UsageError(f"schedule {name}: {error}") from None


def _declared(context: Context, name: str) -> Schedule:
    known = {owned.value.name: owned.value for owned in context.composition.schedules}
    if name not in known:
        hint = did_you_mean(name, known) or "see rolehost schedules"
        raise click.UsageError(f"no enabled plugin contributes a schedule {name!r}; {hint}")
    return known[name]
