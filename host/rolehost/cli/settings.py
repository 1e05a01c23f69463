"""``rolehost settings``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from rolehost.cli.context import Context
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.composition import Composition
from rolehost.composition.effective import effective
from rolehost.deployment import redacted
from rolehost.redaction import HIDDEN


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
    for key, value, origin in effective(composition):
        yield {
            "key": key,
            "value": HIDDEN if origin.hidden else redacted(value),
            "origin": origin.text,
        }
