"""``rolehost schedules``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from rolehost.api.contributions import Schedule
from rolehost.cli.context import Context
from rolehost.cli.database import ledger, moment
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.errors import StartError, StorageError

if TYPE_CHECKING:
    from rolehost.delivery.tickstate import TickState


@click.command()
@takes_deployment()
@click.option("--declared", is_flag=True, help="Only what plugins declare; ask no database.")
@as_json
@click.pass_obj
def schedules(context: Context, declared: bool, as_json: bool) -> None:
    """List schedules by name, each with when it ticks, what it enqueues, and how that went.

    The last tick, how many failed, and why the last one failed are asked of the database; they
    are left out when it cannot be asked.
    """
    states = None if declared else _states(context)
    rows: list[dict[str, Any]] = [
        {
            "name": owned.value.name,
            "when": when(owned.value),
            "actor": actor_of(owned.value),
            "arguments": dict(owned.value.arguments),
            "missed": owned.value.missed,
            "plugin": owned.plugin,
            "site": owned.site,
            **(_went(owned.value, states) if states is not None else {}),
        }
        for owned in context.composition.schedules
    ]
    rows.sort(key=lambda row: str(row["name"]))
    listing(rows, as_json=as_json, empty="no enabled plugin contributes a schedule")


def _states(context: Context) -> dict[str, TickState] | None:
    """Return how ticks went by schedule; None where the database cannot be asked."""
    from rolehost.delivery import tickstate

    composition = context.composition
    if not composition.schedules or "database" not in composition.backends:
        return None
    try:
        with ledger(context) as database:
            return tickstate.read(database)
    except (StartError, StorageError) as error:
        click.echo(f"how they went is not known: {str(error).splitlines()[0]}", err=True)
        return None


def _went(schedule: Schedule, states: Mapping[str, TickState]) -> dict[str, Any]:
    state = states.get(schedule.name)
    if state is None:
        return {"last": None, "failures": 0, "error": None}
    failed = state.failed_at is not None and state.failed_at >= state.last_tick
    return {
        "last": moment(state.last_tick),
        "failures": state.failures,
        "error": state.error if failed else None,
    }


def when(schedule: Schedule) -> str:
    """Return when a schedule ticks, in words."""
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    return f"{schedule.cron} {schedule.timezone}"


def actor_of(schedule: Schedule) -> str:
    """Return the name of the actor that a schedule enqueues."""
    return schedule.actor if isinstance(schedule.actor, str) else schedule.actor.name
