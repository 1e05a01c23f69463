"""``rolehost webhooks attempts``: lists the delivery attempts of a message."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rolehost.api import CommandContext

from rolehost_webhooks.commands.client import Client
from rolehost_webhooks.commands.options import api_token, host_options, host_url

#: Maximum number of characters of a response in the table.
MAX_RESPONSE = 200


@click.command()
@click.argument("message")
@host_options
@click.option("--limit", type=click.IntRange(1, 250), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_obj
def attempts(
    context: CommandContext,
    message: str,
    url: str | None,
    token: str | None,
    app: str,
    limit: int,
    as_json: bool,
) -> None:
    """List the attempts at a MESSAGE (its id or eventId), the newest first.

    An attempt without a response shows the cause: refused, dns, tls, timeout, …
    """
    client = Client(host_url(context, url), api_token(context, token))
    query = "?" + urlencode({"limit": limit})
    found = client.call("GET", "app", app, "attempt", "msg", message, query=query)["data"]
    if as_json:
        for attempt in found:
            click.echo(msgspec.json.encode(attempt))
    else:
        Console(highlight=False).print(_table(found))


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("time", "endpoint", "status", "HTTP", "ms", "response", box=None)
    for attempt in found:
        table.add_row(
            attempt["timestamp"],
            attempt["endpointId"],
            attempt["statusText"],
            attempt.get("cause") or str(attempt["responseStatusCode"]),
            str(attempt["responseDurationMs"]),
            escape(attempt["response"][:MAX_RESPONSE]),
        )
    return table
