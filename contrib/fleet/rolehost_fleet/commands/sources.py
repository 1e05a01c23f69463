"""The deployments that a command names (files, folders, patterns), and their storage."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec
from rolehost.errors import StartError

from rolehost_fleet.loading import load
from rolehost_fleet.model import Fleet

if TYPE_CHECKING:
    from rolehost.composition.manifest import Manifest
    from rolehost.schema import Set
    from rolehost.services import ProcessServices
    from rolehost.storage import Database, Kind, Queue, Stream

    from rolehost_fleet.model import FleetMember
    from rolehost_fleet.status import FleetStatus

F = TypeVar("F", bound=Callable[..., Any])


def expanded(given: Sequence[Path]) -> list[Path]:
    """Return the deployment files that files, folders and patterns name, each once.

    Raises:
        StartError: a folder or a pattern contains no deployment file.
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
    """Read and compose deployments; ignore files without plugins, which other files include.

    Raises:
        ConfigurationError: with every error of every deployment.
        StartError: no file enables a plugin.
    """
    fleet = load(expanded(given))
    members = tuple(member for member in fleet.members if member.composition.plugins)
    if not members:
        raise StartError(f"{', '.join(map(str, given))}: no deployment here enables a plugin")
    return Fleet(members=members)


def one_fleet(given: Sequence[Path]) -> Fleet:
    """Read and compose the deployments of one fleet.

    Raises:
        ConfigurationError: with every error of every deployment.
        StartError: no file enables a plugin, or the files belong to several fleets.
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
    """Read and compose deployments, and return the fleet of a name.

    Args:
        given: files, folders, patterns.
        name: name of the fleet; None: all files must belong to one fleet.

    Raises:
        ConfigurationError: with every error of every deployment.
        StartError: no fleet has that name, or there are several and no name is given.
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
    """Add the option ``--fleet NAME`` to a command; the parameter is ``fleet``."""
    return click.option(
        "--fleet", metavar="NAME", help="Name of the fleet, if the files have several."
    )(function)


def manifests_of(fleet: Fleet) -> tuple[Manifest, ...]:
    """Return the manifest of every member."""
    from rolehost.composition.manifest import describe

    return tuple(describe(member.composition) for member in fleet.members)


class Shared:
    """The storage that the deployments of a fleet share, open for reading.

    Attributes:
        database: the service database; the thread is in a session of it.
        stream: the stream, or None if the fleet has no stream.
        queue: the queue of ephemeral messages, or None if no backend carries them.
        sets: deployment → the owners and packages of its migrations.
    """

    def __init__(
        self,
        database: Database,
        stream: Stream | None,
        queue: Queue | None,
        sets: Mapping[str, Sequence[Set]],
    ) -> None:
        self.sets = sets
        self.database = database
        self.stream = stream
        self.queue = queue

    def look(self, expected: Collection[Manifest]) -> FleetStatus:
        """Return the status of the fleet; for ``expected`` see :func:`rolehost_fleet.status.read`.

        Raises:
            StartError: the database has no tables yet.
            StorageUnavailable: the database cannot be reached.
        """
        from rolehost.schema import compare, history, load

        from rolehost_fleet.status import read

        if not self.database.peewee.table_exists("rolehost_processes"):
            raise StartError(
                "the database has no tables yet, so nothing has run; start a deployment, or run"
                " rolehost migrate up -d FILE"
            )

        now, depth = time.time_ns() // 1_000_000, _depth(self.queue)
        applied = history.read(self.database)
        drifts = {
            name: compare(load(sets, self.database.dialect), applied)
            for name, sets in self.sets.items()
        }
        seen: FleetStatus = read(self.database, self.stream, now, expected, depth, self.queue)
        return msgspec.structs.replace(seen, drifts=drifts)


@contextmanager
def connected(fleet: Fleet) -> Iterator[Shared]:
    """Open the database of a fleet, and its stream and queue if it has them.

    Raises:
        StartError: no member has a database, or their databases are different.
    """
    members = _having(fleet, "database")
    if not members:
        raise StartError("no deployment here has a database, so its fleet has no status")
    identities = {
        owned.value.fleet.identity: member.name
        for member in members
        if (owned := member.composition.backends["database"]).value.fleet.identity
    }
    if len(identities) > 1:
        raise StartError(
            f"{' and '.join(sorted(identities.values()))} have different databases, so they"
            " are not one fleet"
        )
    with ExitStack() as stack:
        opened: dict[str, ProcessServices] = {}

        def services(member: FleetMember) -> ProcessServices:
            if member.name not in opened:
                opened[member.name] = _opened(member, stack)
            return opened[member.name]

        database = services(members[0]).database
        from rolehost.schema import HOST_SET

        streaming, queueing = _having(fleet, "stream"), _having(fleet, "queue")
        yield Shared(
            database,
            services(streaming[0]).stream if streaming else None,
            _carrier(services(queueing[0])) if queueing else None,
            {each.name: [HOST_SET, *each.composition.schema_sets] for each in members},
        )


def _opened(member: FleetMember, stack: ExitStack) -> ProcessServices:
    from rolehost.services import ProcessServices

    services = ProcessServices(member.composition, role="command")
    stack.callback(services.close)
    if "database" in services.backends:
        stack.enter_context(services.database.session())
    return services


def _carrier(services: ProcessServices) -> Queue | None:
    queue = services.queue
    return queue if "ephemeral" in queue.capabilities else None


def _depth(queue: Queue | None) -> Callable[[str], int] | None:
    """Return a function that counts the ephemeral messages of a queue, or None."""
    from rolehost.services.transport import ephemeral_queue

    if queue is None:
        return None
    return lambda name: queue.depth(ephemeral_queue(name))


def _having(fleet: Fleet, kind: Kind) -> list[FleetMember]:
    """Return the members that use a storage kind, including those without replicas."""
    return [member for member in fleet.members if kind in member.composition.backends]
