"""``rolehost dead``: dead letters, jobs, events and ephemeral messages alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.database import moment, opened, shown
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.errors import StorageError

if TYPE_CHECKING:
    from rolehost.services import ProcessServices


@click.group()
def dead() -> None:
    """List, show, replay and discard dead letters.

    A dead letter's id is job:N, event:N, or message:N of an ephemeral actor.
    """


@dead.command("list")
@takes_deployment(argument=False)
@click.option("--of", "what", help="Only those of this actor or handler.")
@click.option("--limit", default=100, show_default=True, help="Most letters, newest first.")
@as_json
@click.pass_obj
def list_letters(context: Context, what: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    from rolehost.delivery import deadletters, deadmessages

    with opened(context) as services:
        found = deadletters.listing(services.database, what=what, limit=limit)
        if _has_queue(services):
            try:
                found += deadmessages.listing(services.queue, what=what, limit=limit)
            except StorageError as error:
                click.echo(f"without those of ephemeral actors: {error}", err=True)
    found = sorted(found, key=lambda letter: -letter.died_at)[:limit]
    rows = [
        {
            "id": letter.id,
            "of": letter.what,
            "origin": letter.origin,
            "state": letter.state,
            "died_at": moment(letter.died_at),
            "error": letter.error,
        }
        for letter in found
    ]
    listing(rows, as_json=as_json, empty="no dead letters")


@dead.command()
@click.argument("letter")
@takes_deployment(argument=False)
@as_json
@click.pass_obj
def show(context: Context, letter: str, as_json: bool) -> int:
    """Show everything known of one dead letter."""
    from rolehost.delivery import deadletters, deadmessages

    kind, number = _known(letter)
    with opened(context) as services:
        if kind != "message":
            found = deadletters.show(services.database, letter)
        else:
            found = deadmessages.show(services.queue, number) if _has_queue(services) else None
    if found is None:
        return _missing(letter)
    times = {name: moment(found[name]) for name in found if name.endswith("_at")}
    shown({**found, **times}, as_json=as_json)
    return exits.OK


@dead.command()
@click.argument("letters", nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def replay(context: Context, letters: tuple[str, ...]) -> int:
    """Try dead letters again, from their first attempt."""
    status = exits.OK
    known = {letter: _known(letter) for letter in letters}
    with opened(context) as services:
        for letter, (kind, number) in known.items():
            if kind == "job" and (why := _misfit(services, number)):
                click.echo(f"{letter} would fail at once: {why}", err=True)
                status = exits.FAILED
                continue
            act = _replay_message if kind == "message" else _replay_row
            if act(services, letter, number):
                click.echo(f"{letter} will be tried again")
            else:
                status = _missing(letter)
    return status


@dead.command()
@click.argument("letters", nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def discard(context: Context, letters: tuple[str, ...]) -> int:
    """Delete dead letters for good."""
    status = exits.OK
    known = {letter: _known(letter) for letter in letters}
    with opened(context) as services:
        for letter, (kind, number) in known.items():
            act = _discard_message if kind == "message" else _discard_row
            if act(services, letter, number):
                click.echo(f"{letter} discarded")
            else:
                status = _missing(letter)
    return status


def _misfit(services: ProcessServices, number: int) -> str | None:
    from rolehost.delivery import administration

    return administration.misfit(services.engine, number)


def _replay_row(services: ProcessServices, letter: str, _number: int) -> bool:
    from rolehost.delivery import deadletters

    with services.engine.unit_of_work() as work:
        wake = deadletters.replay(work.transaction, letter, services.clock.now())
        if wake is not None:
            work.wake(wake)
    return wake is not None


def _replay_message(services: ProcessServices, _letter: str, number: int) -> bool:
    from rolehost.delivery import deadmessages

    return _has_queue(services) and deadmessages.replay(services.queue, number)


def _discard_row(services: ProcessServices, letter: str, _number: int) -> bool:
    from rolehost.delivery import deadletters

    with services.engine.unit_of_work() as work:
        return deadletters.discard(work.transaction, letter)


def _discard_message(services: ProcessServices, _letter: str, number: int) -> bool:
    return _has_queue(services) and services.queue.discard_message(number)


def _has_queue(services: ProcessServices) -> bool:
    return "queue" in services.backends


def _known(letter: str) -> tuple[str, int]:
    from rolehost.delivery import deadletters

    try:
        return deadletters.parse(letter)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _missing(letter: str) -> int:
    click.echo(
        f"there is no dead letter {letter}; rolehost dead list shows those there are", err=True
    )
    return exits.FAILED
