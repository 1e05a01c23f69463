"""``rolehost openapi``: the document on standard output, without starting anything."""

from __future__ import annotations

import click
import msgspec
from rolehost.api import CommandContext

from rolehost_openapi.document import build
from rolehost_openapi.rendering import encode


@click.command("openapi")
@click.option("--compact", is_flag=True, help="One line, byte for byte what /openapi.json serves.")
@click.pass_obj
def openapi(context: CommandContext, compact: bool) -> None:
    """Print the OpenAPI 3.1 document of the deployment's routes."""
    composition = context.composition
    try:
        document = build(
            [(owned.plugin, owned.value) for owned in composition.routes],
            [(owned.plugin, owned.value) for owned in composition.error_formats],
            deployment=composition.deployment.name,
            settings=composition.plugin("openapi").settings,
        )
    except TypeError as error:
        raise click.ClickException(str(error)) from None
    text = encode(document)
    click.echo(text if compact else msgspec.json.format(text, indent=2))
