"""``rolehost dead``: dead letters, jobs and events alike."""

from __future__ import annotations

import click

from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.database import moment, opened, shown
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing


@click.group()
def dead() -> None:
    """List, show, replay and discard dead letters.

    A dead letter's id is job:N or event:N.
    """


@dead.command("list")
@takes_deployment(argument=False)
@click.option("--of", "what", help="Only those of this actor or handler.")
@click.option("--limit", default=100, show_default=True, help="Most letters, newest first.")
@as_json
@click.pass_obj
def list_letters(context: Context, what: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    from rolehost.delivery import deadletters

    with opened(context) as services:
        found = deadletters.listing(services.database, what=what, limit=limit)
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
    from rolehost.delivery import deadletters

    _known(letter)
    with opened(context) as services:
        found = deadletters.show(services.database, letter)
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
    from rolehost.delivery import deadletters

    status = exits.OK
    for letter in letters:
        _known(letter)
    with opened(context) as services:
        for letter in letters:
            with services.engine.unit_of_work() as work:
                wake = deadletters.replay(work.transaction, letter, services.clock.now())
                if wake is not None:
                    work.wake(wake)
            if wake is None:
                status = _missing(letter)
            else:
                click.echo(f"{letter} will be tried again")
    return status


@dead.command()
@click.argument("letters", nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def discard(context: Context, letters: tuple[str, ...]) -> int:
    """Delete dead letters for good."""
    from rolehost.delivery import deadletters

    status = exits.OK
    for letter in letters:
        _known(letter)
    with opened(context) as services:
        for letter in letters:
            with services.engine.unit_of_work() as work:
                gone = deadletters.discard(work.transaction, letter)
            if gone:
                click.echo(f"{letter} discarded")
            else:
                status = _missing(letter)
    return status


def _known(letter: str) -> None:
    from rolehost.delivery import deadletters

    try:
        deadletters.parse(letter)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _missing(letter: str) -> int:
    click.echo(
        f"there is no dead letter {letter}; rolehost dead list shows those there are", err=True
    )
    return exits.FAILED
