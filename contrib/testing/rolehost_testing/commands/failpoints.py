"""``rolehost failpoints``: the points at which tests make a process fail."""

from __future__ import annotations

import click
from rolehost.cli.context import as_json
from rolehost.cli.output import print_rows
from rolehost.failpoints import NAMES


@click.command()
@as_json
def failpoints(as_json: bool) -> None:
    """List the points at which tests can make a process fail.

    ROLEHOST_FAIL=POINT:ACTION[@PROBABILITY],… enables them in processes that are started with this
    variable, except in production. Actions: kill, raise, delay=SECONDS.
    """
    rows = [{"point": name, "what has happened": text} for name, text in NAMES.items()]
    print_rows(rows, as_json=as_json, empty="there are none")
