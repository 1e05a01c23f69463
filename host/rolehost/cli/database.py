"""Opens the service database for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from rolehost.errors import StartError

if TYPE_CHECKING:
    from rolehost.cli.context import Context
    from rolehost.composition import Composition
    from rolehost.storage import Database


@contextmanager
def open_database(context: Context) -> Iterator[Database]:
    """Open only the service database, in a session; StartError if the deployment has none."""
    backend = require_database(context).backends["database"].value
    with closing(backend.factory()) as database, database.session():
        yield database


def require_database(context: Context) -> Composition:
    """Return the composition; StartError if the deployment has no database."""
    if "database" not in context.composition.backends:
        where = context.path or "no deployment file was found"
        raise StartError(
            f"this deployment ({where}) has no database, so it has no migrations, jobs or dead "
            "letters; name a deployment that enables a plugin with a database, for example embedded"
        )
    return context.composition
