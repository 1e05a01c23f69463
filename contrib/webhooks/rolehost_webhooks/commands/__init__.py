"""``rolehost webhooks``: receive, send and look up webhooks from the command line."""

from __future__ import annotations

import click

from rolehost_webhooks.commands.attempts import attempts
from rolehost_webhooks.commands.listen import listen
from rolehost_webhooks.commands.send import send


@click.group()
def webhooks() -> None:
    """Receive, send and look up webhooks through a running host."""


webhooks.add_command(attempts)
webhooks.add_command(listen)
webhooks.add_command(send)
