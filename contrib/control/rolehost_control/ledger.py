"""Opens the jobs ledger for commands, which act on several jobs or dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

import click
from rolehost.cli import exits
from rolehost.cli.database import open_database, require_database
from rolehost.errors import RolehostError

if TYPE_CHECKING:
    from rolehost.cli.context import Context
    from rolehost.services import ProcessServices
    from rolehost.storage import Database

T = TypeVar("T")


class Refused(RolehostError):
    """A job or dead letter does not allow the action."""


@contextmanager
def open_ledger(context: Context) -> Iterator[Database]:
    """Open the service database; StartError if there is none, or it lacks the host's tables."""
    from rolehost.schema import HOST_SET, require_pre

    with open_database(context) as database:
        require_pre(database, [HOST_SET], context.command("migrate up"))
        yield database


@contextmanager
def open_services(context: Context) -> Iterator[ProcessServices]:
    """Provide the services that change jobs or dead letters; no plugin is started."""
    from rolehost.schema import HOST_SET, require_pre
    from rolehost.services import ProcessServices

    composition = require_database(context)
    with (
        closing(ProcessServices(composition, role="command")) as services,
        services.database.session(),
    ):
        require_pre(services.database, [HOST_SET], context.command("migrate up"))
        services.wait_for_writers()
        yield services


def for_each(items: Iterable[T], act: Callable[[T], str]) -> int:
    """Call ``act`` for each item and print its result; return the exit status.

    If ``act`` raises :class:`Refused`, the error is printed and the next item follows.
    """
    status = exits.OK
    for item in items:
        try:
            click.echo(act(item))
        except Refused as error:
            click.echo(str(error), err=True)
            status = exits.FAILED
    return status
