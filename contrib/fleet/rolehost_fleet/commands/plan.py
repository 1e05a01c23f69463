"""``rolehost fleet plan``: print the changes of a new version, and its rollout order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rolehost.cli import exits
from rolehost.cli.context import as_json
from rolehost.cli.output import print_json
from rolehost.errors import StartError

from rolehost_fleet.commands.sources import connected, manifests_of, named_fleet, takes_fleet

if TYPE_CHECKING:
    from rolehost.composition.manifest import Manifest
    from rolehost.storage import Database

    from rolehost_fleet.model import Fleet
    from rolehost_fleet.plan import Plan
    from rolehost_fleet.queued import Unreadable
    from rolehost_fleet.status import FleetStatus

#: Name of the version that runs now.
LIVE = "live"


class Side:
    """One of the two versions on the command line.

    Attributes:
        given: a file, a folder, a pattern, or ``live``.
        fleet: its deployments; None for ``live`` and for a file of manifests.
        manifests: their manifests; empty for ``live`` until the database has been read.
    """

    def __init__(self, given: str, fleet: str | None) -> None:
        self.given = given
        self.fleet: Fleet | None = None
        self.manifests: tuple[Manifest, ...] = ()
        if given == LIVE:
            return
        path = Path(given)
        if path.suffix == ".json":
            self.manifests = _saved(path)
        else:
            self.fleet = named_fleet([path], fleet)
            self.manifests = manifests_of(self.fleet)


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--connect",
    type=click.Path(path_type=Path),
    metavar="DEPLOYMENT",
    help="Read queued jobs and events from the database and stream of this deployment.",
)
@click.option(
    "--accept",
    multiple=True,
    metavar="WHO",
    help="Accept the errors of WHO, for example 'actor NAME'; may be repeated.",
)
@takes_fleet
@as_json
def plan(
    old: str,
    new: str,
    connect: Path | None,
    accept: tuple[str, ...],
    fleet: str | None,
    as_json: bool,
) -> int:
    """Print what changes from OLD to NEW, in which order to roll out, and what forbids it.

    OLD and NEW are each a deployment file, a folder or a quoted pattern, read with the plugins
    that are installed here; or a file (.json) of rolehost fleet manifest; or "live" for the
    running processes. With live or --connect, the command also tries to decode queued jobs and
    events with the types of NEW.

    The exit status is 0 if the rollout is possible, 1 if something forbids it, 3 if the files have
    errors, 4 if the database cannot be reached.
    """
    from rolehost_fleet.plan import make

    sides = (Side(old, fleet), Side(new, fleet))
    status, unreadable = _read_status(sides, connect)
    made = make(sides[0].manifests, sides[1].manifests, status, unreadable, accept)
    if as_json:
        print_json(made.as_dict())
    else:
        _print(made, queue_read=status is not None)
    return exits.FAILED if made.errors else exits.OK


def _saved(path: Path) -> tuple[Manifest, ...]:
    from rolehost_fleet.saved import decode_all

    try:
        return decode_all(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise StartError(f"{path}: {error}") from None


def _read_status(
    sides: tuple[Side, Side], connect: Path | None
) -> tuple[FleetStatus | None, list[Unreadable]]:
    """Read the status of the running fleet if options need it; set the manifests of ``live``."""
    live = [side for side in sides if side.given == LIVE]
    if connect is None and not live:
        return None, []
    fleet = sides[0].fleet or sides[1].fleet
    if connect is not None:
        fleet = named_fleet([connect], None)
    if fleet is None:
        raise StartError("live needs a database: name a deployment of the fleet with --connect")
    with connected(fleet) as shared:
        status = shared.look([manifest for side in sides for manifest in side.manifests])
        for side in live:
            side.manifests = _running(status)
        return status, _unreadable(shared.database, sides[1])


def _running(status: FleetStatus) -> tuple[Manifest, ...]:
    """Return the manifests that run.

    Raises:
        StartError: two versions of a deployment run, or a process has no manifest.
    """
    running = status.running()
    names = [manifest.deployment for manifest in running]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StartError(
            f"processes of {', '.join(twice)} run different versions (rolehost fleet status):"
            " finish that rollout first"
        )
    silent = sorted({each.deployment for each in status.processes} - set(names))
    if silent:
        raise StartError(f"{', '.join(silent)} has no manifest: its host is older")
    return running


def _unreadable(database: Database, new: Side) -> list[Unreadable]:
    from rolehost_fleet.queued import decoders, unreadable_events, unreadable_jobs

    actors = [
        {name: owned.value for name, owned in member.composition.actors.items()}
        for member in (new.fleet.members if new.fleet else ())
    ]
    reading = decoders(new.manifests, actors)
    return [
        *unreadable_jobs(database, new.manifests, reading),
        *unreadable_events(database, new.manifests),
    ]


def _print(made: Plan, *, queue_read: bool) -> None:
    from rolehost_fleet.status import count

    if not made.changes and not made.steps:
        click.echo("nothing changes")
    for change in made.changes:
        where = f" ({', '.join(change.where)})" if change.kind != "deployment" else ""
        detail = f": {change.detail}" if change.detail else ""
        click.echo(f"{change.sign} {change.kind} {change.name}{detail}{where}")
    for number, step in enumerate(made.steps, 1):
        click.echo(f"{'' if number > 1 else chr(10)}{number}. {step.text}")
        for why in step.why:
            click.echo(f"     {why}")
    for problem in made.errors:
        click.echo(f"\n{problem}")
    for problem in made.warnings:
        click.echo(f"\nwarning: {problem}")
    errors, risks = len(made.errors), len(made.warnings)
    counts = [count(errors, "error")] * bool(errors) + [count(risks, "warning")] * bool(risks)
    seen = "" if queue_read else "; the queue was not read"
    click.echo(f"\n{', '.join(counts) or 'ok: the rollout is possible'}{seen}")
