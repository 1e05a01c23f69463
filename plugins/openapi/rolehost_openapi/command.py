"""``rolehost openapi``: prints the document without starting a process of the deployment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rolehost.api import CommandContext

from rolehost_openapi.document import build
from rolehost_openapi.settings import OpenapiSettings


@click.command("openapi")
@click.argument("deployments", nargs=-1, type=click.Path(path_type=Path), metavar="[DEPLOYMENT]...")
@click.option(
    "--compact", is_flag=True, help="Print one line: the bytes that /openapi.json serves."
)
@click.pass_obj
def openapi(context: CommandContext, deployments: tuple[Path, ...], compact: bool) -> None:
    """Print the OpenAPI 3.1 document of the deployment's routes.

    For several deployments, print one document with all their routes, each once.
    """
    compositions = context.compositions(deployments) if deployments else [context.composition]
    try:
        document = build(
            _unique((owned.plugin, owned.value) for each in compositions for owned in each.routes),
            _unique(
                (owned.plugin, owned.value) for each in compositions for owned in each.error_formats
            ),
            deployment=", ".join(each.deployment.name for each in compositions),
            settings=_settings(compositions),
        )
    except TypeError as error:
        raise click.ClickException(str(error)) from None
    text = msgspec.json.encode(document)
    click.echo(text if compact else msgspec.json.format(text, indent=2))


def _settings(compositions: Iterable[Any]) -> OpenapiSettings:
    """Return the settings of the first deployment with the plugin; else the defaults."""
    for composition in compositions:
        try:
            settings: OpenapiSettings = composition.plugin("openapi").settings
        except LookupError:
            continue
        return settings
    return OpenapiSettings()


def _unique(owned: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Remove duplicates: keep each path or prefix of a plugin once."""
    kept: dict[tuple[object, ...], tuple[str, Any]] = {}
    for plugin, value in owned:
        place = getattr(value, "path", None) or value.prefix
        kept.setdefault((plugin, place, getattr(value, "suffix", "")), (plugin, value))
    return list(kept.values())
