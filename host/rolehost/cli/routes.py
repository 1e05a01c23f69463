"""``rolehost routes``."""

from __future__ import annotations

import click

from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.composition import access_of, responders


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def routes(context: Context, as_json: bool) -> None:
    """List HTTP routes by path, each with its methods, plugin, site and what protects it."""
    composition = context.composition
    http = composition.deployment.host.http
    rows = [
        {
            "path": owned.value.path,
            "methods": sorted(responders(owned.value)),
            "plugin": owned.plugin,
            "access": access_of(owned, composition.authentications, http),
            "idempotent": owned.value.idempotent,
            "max_body": owned.value.max_body or http.max_body,
            "site": owned.site,
        }
        for owned in composition.routes
    ]
    rows.sort(key=lambda row: (row["path"], row["methods"]))
    listing(rows, as_json=as_json, empty="no enabled plugin contributes a route")
