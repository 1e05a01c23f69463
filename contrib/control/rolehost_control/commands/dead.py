"""``rolehost dead``: dead letters of jobs, events and ephemeral messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_record, print_rows, rfc3339
from rolehost.errors import StorageError

from rolehost_control.ledger import Refused, for_each, open_ledger, open_services

if TYPE_CHECKING:
    from rolehost.services import ProcessServices
    from rolehost.storage import Queue

    #: Takes the id, kind and number of a dead letter; returns False if it does not exist.
    Act = Callable[[ProcessServices, str, str, int], bool]


@click.group()
def dead() -> None:
    """List, show, replay and discard dead letters.

    A dead letter has the id job:N, event:N, or message:N if its actor is ephemeral.
    """


@dead.command("list")
@takes_deployment(argument=False)
@click.option("--of", "source", help="Only dead letters of this actor or handler.")
@click.option("--limit", default=100, show_default=True, help="Maximum number of dead letters.")
@as_json
@click.pass_obj
def list_letters(context: Context, source: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    from rolehost.delivery import deadletters, parking

    with open_ledger(context) as database:
        found = deadletters.listing(database, what=source, limit=limit)
        parked = parking.count(database)
    if parked:
        click.echo(f"not listed: {parked} parked events, which will be retried", err=True)
    try:
        with _queue(context) as queue:
            if queue is not None:
                found += deadletters.list_messages(queue, what=source, limit=limit)
    except StorageError as error:
        click.echo(f"dead letters of ephemeral actors are missing: {error}", err=True)
    found = sorted(found, key=lambda letter: -letter.died_at)[:limit]
    rows = [
        {
            "id": letter.id,
            "of": letter.what,
            "origin": letter.origin,
            "state": letter.state,
            "died_at": rfc3339(letter.died_at),
            "error": letter.error,
        }
        for letter in found
    ]
    print_rows(rows, as_json=as_json, empty="no dead letters")


@dead.command()
@click.argument("letter")
@takes_deployment(argument=False)
@as_json
@click.pass_obj
def show(context: Context, letter: str, as_json: bool) -> int:
    """Show all fields of one dead letter."""
    from rolehost.delivery import deadletters

    kind, number = _parse(letter)
    if kind == "message":
        with _queue(context) as queue:
            found = deadletters.show_message(queue, number) if queue else None
    else:
        with open_ledger(context) as database:
            found = deadletters.show(database, letter)
    if found is None:
        click.echo(_not_found(context, letter), err=True)
        return exits.FAILED
    print_record(found, as_json=as_json)
    return exits.OK


@dead.command()
@click.argument("letters", nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def replay(context: Context, letters: tuple[str, ...]) -> int:
    """Run dead letters again, starting with their first attempt."""
    return _change_each(context, letters, _replay, "will run again")


@dead.command()
@click.argument("letters", nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def discard(context: Context, letters: tuple[str, ...]) -> int:
    """Delete dead letters; they cannot be restored."""
    return _change_each(context, letters, _discard, "discarded")


def _change_each(context: Context, letters: tuple[str, ...], act: Act, outcome: str) -> int:
    parsed = {letter: _parse(letter) for letter in letters}
    with open_services(context) as services:

        def one(letter: str) -> str:
            if not act(services, letter, *parsed[letter]):
                raise Refused(_not_found(context, letter))
            return f"{letter} {outcome}"

        return for_each(letters, one)


def _replay(services: ProcessServices, letter: str, kind: str, number: int) -> bool:
    from rolehost.delivery import administration, deadletters
    from rolehost.delivery.scopes import unit_of_work

    if kind == "message":
        return _has_queue(services) and deadletters.replay_message(services.queue, number)
    if kind == "job":
        why = administration.argument_error(services.database, services.delivery.signatures, number)
        if why:
            raise Refused(f"{letter} would fail immediately: {why}")
    with unit_of_work(services.delivery) as work:
        wake = deadletters.replay(work.transaction, letter, services.clock.now())
        if wake is not None:
            work.wake(wake)
    return wake is not None


def _discard(services: ProcessServices, letter: str, kind: str, number: int) -> bool:
    from rolehost.delivery import deadletters
    from rolehost.delivery.scopes import unit_of_work

    if kind == "message":
        return _has_queue(services) and services.queue.discard_message(number)
    with unit_of_work(services.delivery) as work:
        return deadletters.discard(work.transaction, letter)


def _queue(context: Context) -> AbstractContextManager[Queue | None]:
    backend = context.composition.backends.get("queue")
    return closing(backend.value.factory()) if backend else nullcontext()


def _has_queue(services: ProcessServices) -> bool:
    return "queue" in services.backends


def _parse(letter: str) -> tuple[str, int]:
    from rolehost.delivery import deadletters

    try:
        return deadletters.parse(letter)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _not_found(context: Context, letter: str) -> str:
    command = context.command("dead list")
    return f"dead letter {letter} does not exist; {command} lists the dead letters"
