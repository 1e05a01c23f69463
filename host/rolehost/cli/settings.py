"""``rolehost settings``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.composition import Composition
from rolehost.deployment import HOST_SECTIONS, redacted


@click.command()
@takes_deployment()
@as_json
@click.pass_obj
def settings(context: Context, as_json: bool) -> None:
    """List every setting with its value and origin, defaults included; secrets as asterisks."""
    rows = sorted(values(context.composition), key=lambda row: str(row["key"]))
    listing(rows, as_json=as_json, empty="there are no settings")


def values(composition: Composition) -> Iterator[dict[str, Any]]:
    """Return key, value and origin of every setting of the host and of enabled plugins."""
    deployment = composition.deployment
    yield {
        "key": "plugins",
        "value": list(deployment.plugins),
        "origin": deployment.origins["plugins"].text
        if "plugins" in deployment.origins
        else "default",
    }
    sections = [(name, getattr(deployment.host, name)) for name in HOST_SECTIONS]
    sections += [
        (plugin.name, plugin.settings)
        for plugin in composition.plugins
        if plugin.settings is not None
    ]
    for section, decoded in sections:
        for field in msgspec.structs.fields(decoded):
            key = f"{section}.{field.encode_name}"
            origin = deployment.origins[key]
            value = getattr(decoded, field.name)
            yield {
                "key": key,
                "value": "********" if origin.secret else redacted(value),
                "origin": origin.text,
            }
