"""``rolehost handlers``."""

from __future__ import annotations

import click

from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def handlers(context: Context, as_json: bool) -> None:
    """List event handlers by topic and consumer group."""
    composition = context.composition
    rows = [
        {
            "topic": owned.value.topic,
            "group": owned.value.group,
            "name": owned.value.name,
            "batch": owned.value.batch,
            "attempts": owned.value.retry.attempts,
            "plugin": owned.plugin,
            "published_by": sorted(
                plugin.name
                for plugin in composition.plugins
                if owned.value.topic in plugin.info.publishes
            ),
            "site": owned.site,
        }
        for owned in composition.handlers
    ]
    rows.sort(key=lambda row: (row["topic"], row["group"]))
    listing(rows, as_json=as_json, empty="no enabled plugin contributes a handler")
