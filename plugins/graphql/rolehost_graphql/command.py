"""``rolehost graphql``: prints the schema without starting a process of the deployment."""

from __future__ import annotations

import click
from rolehost.api import CommandContext

from rolehost_graphql.merging import merge
from rolehost_graphql.plugin import HOOK


@click.group("graphql")
def graphql() -> None:
    """Print the GraphQL schema."""


@graphql.command("schema")
@click.pass_obj
def schema(context: CommandContext) -> None:
    """Print the schema of the deployment in GraphQL's schema definition language (SDL).

    Use it for code generators, and in a review to see how a change affects the schema.
    """
    click.echo(merge(context.composition.extensions[HOOK]).sdl())
