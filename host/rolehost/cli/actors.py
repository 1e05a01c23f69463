"""``rolehost actors``."""

from __future__ import annotations

import click

from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def actors(context: Context, as_json: bool) -> None:
    """List actors by name: those worked here, and those that are only enqueued here."""
    composition = context.composition
    enqueued: dict[str, list[str]] = {}
    for plugin in composition.plugins:
        for name in plugin.info.enqueues:
            enqueued.setdefault(name, []).append(plugin.name)
    rows = []
    for name in sorted(composition.actors.keys() | enqueued.keys()):
        owned = composition.actors.get(name)
        rows.append(
            {
                "name": name,
                "queue": owned.value.queue if owned else None,
                "durable": owned.value.durable if owned else None,
                "priority": owned.value.priority if owned else None,
                "attempts": owned.value.retry.attempts if owned else None,
                "plugin": owned.plugin if owned else None,
                "enqueued_by": sorted(enqueued.get(name, [])),
                "site": owned.site if owned else "in another deployment",
            }
        )
    listing(rows, as_json=as_json, empty="no enabled plugin contributes or enqueues an actor")
