"""What ``rolehost fleet`` commands are given: files, folders, patterns; and their storage."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rolehost.errors import StartError
from rolehost.fleet import Fleet, load

if TYPE_CHECKING:
    from rolehost.fleet import Member
    from rolehost.fleet.manifest import Manifest
    from rolehost.storage import Database, Kind, Stream

F = TypeVar("F", bound=Callable[..., Any])


def expanded(given: Sequence[Path]) -> list[Path]:
    """Return the deployment files that files, folders and patterns name; each once.

    Raises:
        StartError: a folder or a pattern names none.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            files = sorted(path.glob("*.toml"))
        elif glob.has_magic(str(path)) and not path.exists():
            base = Path(path.anchor or ".")
            files = sorted(base.glob(str(path.relative_to(path.anchor))))
        else:
            files = [path]
        if not files:
            raise StartError(f"{path} names no deployment file")
        found += files
    return list(dict.fromkeys(found))


def fleet_of(given: Sequence[Path]) -> Fleet:
    """Read and compose deployments; files that enable no plugin are for others to include.

    Raises:
        ConfigurationError: with every mistake of every deployment.
        StartError: nothing is left.
    """
    fleet = load(expanded(given))
    members = tuple(member for member in fleet.members if member.composition.plugins)
    if not members:
        raise StartError(f"{', '.join(map(str, given))}: no deployment here enables a plugin")
    return Fleet(members=members)


def one_fleet(given: Sequence[Path]) -> Fleet:
    """Read and compose deployments, all of one fleet.

    Raises:
        ConfigurationError: with every mistake of every deployment.
        StartError: nothing is left, or they are several fleets.
    """
    fleet = fleet_of(given)
    fleets = fleet.split()
    if len(fleets) > 1:
        several = "; ".join(
            f"{each.name}: {', '.join(str(member.path) for member in each.members)}"
            for each in fleets
        )
        raise StartError(f"these are {len(fleets)} fleets ({several}); name the files of one")
    return fleet


def named_fleet(given: Sequence[Path], name: str | None) -> Fleet:
    """Read and compose deployments, and take the fleet of a name out of them.

    Args:
        given: files, folders, patterns.
        name: of the fleet; None: they are to be of one fleet.

    Raises:
        ConfigurationError: with every mistake of every deployment.
        StartError: there is no fleet of that name, or without a name there are several.
    """
    if name is None:
        return one_fleet(given)
    fleets = fleet_of(given).split()
    for fleet in fleets:
        if fleet.name == name:
            return fleet
    names = ", ".join(sorted(each.name for each in fleets))
    raise StartError(f"no fleet here is named {name!r}; there are {names}")


def takes_fleet(function: F) -> F:
    """Let a command take ``--fleet NAME``; it is given as ``fleet``."""
    return click.option(
        "--fleet", metavar="NAME", help="Of several fleets among the files, this one."
    )(function)


def manifests_of(fleet: Fleet) -> tuple[Manifest, ...]:
    """Describe every member.

    Raises:
        ConfigurationError: migrations of one cannot be read.
    """
    from rolehost.fleet.manifest import describe

    return tuple(describe(member.composition) for member in fleet.members)


@contextmanager
def connected(fleet: Fleet) -> Iterator[tuple[Database, Stream | None]]:
    """Open the database that the fleet shares, and its stream when it has one.

    Raises:
        StartError: no member has a database, or they have different ones.
    """
    from rolehost.services import ProcessServices

    members = _having(fleet, "database")
    if not members:
        raise StartError("no deployment here has a database, so its fleet leaves no trace")
    identities = {
        owned.value.identity: member.name
        for member in members
        if (owned := member.composition.backends["database"]).value.identity
    }
    if len(identities) > 1:
        raise StartError(
            f"{' and '.join(sorted(identities.values()))} have different databases, so they"
            " are no fleet"
        )
    with ExitStack() as stack:
        services = ProcessServices(members[0].composition, role="command")
        stack.callback(services.close)
        stack.enter_context(services.database.session())
        stream = None
        streaming = _having(fleet, "stream")
        if streaming:
            own = services
            if streaming[0] is not members[0]:
                own = ProcessServices(streaming[0].composition, role="command")
                stack.callback(own.close)
                if streaming[0].composition.backends.get("database"):
                    stack.enter_context(own.database.session())
            stream = own.stream
        yield services.database, stream


def _having(fleet: Fleet, kind: Kind) -> list[Member]:
    """Return the members that use a storage kind, those that are switched off too."""
    return [member for member in fleet.members if kind in member.composition.backends]
