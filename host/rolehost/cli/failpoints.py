"""``rolehost failpoints``."""

from __future__ import annotations

import click

from rolehost import failpoints as points
from rolehost.cli.options import as_json
from rolehost.cli.output import listing


@click.command()
@as_json
def failpoints(as_json: bool) -> None:
    """List the points at which a process can be made to fail, for tests.

    ROLEHOST_FAIL=POINT:ACTION[@PROBABILITY],… arms them in the processes that are started with
    it, except in production. Actions: kill, raise, delay=SECONDS.
    """
    rows = [{"point": name, "what has happened": text} for name, text in points.NAMES.items()]
    listing(rows, as_json=as_json, empty="there are none")
