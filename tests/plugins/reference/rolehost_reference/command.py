"""``rolehost reference``."""

from __future__ import annotations

import click
from rolehost.api import CommandContext

from rolehost_reference.models import StoredGreeting


@click.command()
@click.pass_obj
def reference(context: CommandContext) -> None:
    """Print how many greetings are stored."""
    with context.services().database.session():
        click.echo(f"{StoredGreeting.select().count()} greetings")
