"""``rolehost schedules``."""

from __future__ import annotations

import click

from rolehost.api.contributions import Schedule
from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def schedules(context: Context, as_json: bool) -> None:
    """List schedules by name, each with when it ticks and what it enqueues."""
    rows = [
        {
            "name": owned.value.name,
            "when": when(owned.value),
            "actor": actor_of(owned.value),
            "arguments": dict(owned.value.arguments),
            "missed": owned.value.missed,
            "plugin": owned.plugin,
            "site": owned.site,
        }
        for owned in context.composition.schedules
    ]
    rows.sort(key=lambda row: str(row["name"]))
    listing(rows, as_json=as_json, empty="no enabled plugin contributes a schedule")


def when(schedule: Schedule) -> str:
    """Return when a schedule ticks, in words."""
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    return f"{schedule.cron} {schedule.timezone}"


def actor_of(schedule: Schedule) -> str:
    """Return the name of the actor that a schedule enqueues."""
    return schedule.actor if isinstance(schedule.actor, str) else schedule.actor.name
