"""The fleet as data: its members, their running roles, and the number of instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import Role, Schedule
from rolehost.api.handlers import Handler
from rolehost.composition.model import Composition, Owned
from rolehost.deployment.model import Deployment, FleetSettings
from rolehost.errors import SettingLocation
from rolehost.storage import Kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetMember:
    """One deployment of a fleet; compared by identity.

    Attributes:
        path: its file; None if it was made in memory.
        deployment: the deployment as it was read.
        composition: the composition of the deployment and its plugins.
    """

    path: Path | None
    deployment: Deployment
    composition: Composition

    @property
    def name(self) -> str:
        """Name of the deployment."""
        return self.deployment.name

    @property
    def who(self) -> str:
        """The deployment, as messages name it."""
        return f"deployment {self.path or self.name}"

    @property
    def settings(self) -> FleetSettings:
        """Its section ``[fleet]``."""
        return self.deployment.host.fleet

    @property
    def replicas(self) -> int:
        """Number of instances; 0: it is switched off."""
        return self.settings.replicas

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that its instances run, in the order of ``ROLES``; empty without replicas."""
        return self.composition.roles_run if self.replicas else ()

    def processes(self, role: Role) -> int:
        """Return how many processes of a role one instance runs."""
        if role not in self.roles:
            return 0
        host = self.deployment.host
        counts = {
            "http": host.http.processes,
            "worker": host.worker.processes,
            "consumer": host.consumer.processes,
        }
        return counts.get(role, 1)

    def at(self, key: str) -> SettingLocation:
        """Return the location of a setting with its key: ``deploy/api.toml:12, http.bind``."""
        origin = self.deployment.origins.get(key)
        text = origin.text if origin else "default"
        place = text if text != "default" else self.path or self.name
        return SettingLocation(f"{place}, {key}", [key])

    def enabled_at(self, plugin: str) -> str:
        """Return where a plugin is enabled: ``file:line``, or the override."""
        origins = self.deployment.origins
        origin = origins.get(f"plugins.{plugin}") or origins.get("plugins")
        return origin.text if origin else str(self.path or self.name)

    def takes_jobs_from(self, queue: str) -> bool:
        """Return whether its workers take jobs from a queue."""
        if "worker" not in self.roles:
            return False
        chosen = self.deployment.host.worker.queues
        queues = {owned.value.queue for owned in self.composition.actors.values()}
        return queue in (queues if chosen is None else chosen)

    def actors_run(self) -> Iterator[Owned[Actor]]:
        """Yield the actors that its workers run."""
        for owned in self.composition.actors.values():
            if self.takes_jobs_from(owned.value.queue):
                yield owned

    def handlers_run(self) -> Iterator[Owned[Handler]]:
        """Yield the handlers that its consumers run."""
        if "consumer" in self.roles:
            yield from self.composition.handlers

    def schedules_run(self) -> Iterator[Owned[Schedule]]:
        """Yield the schedules that its scheduler runs."""
        if "scheduler" in self.roles:
            yield from self.composition.schedules


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Deployments that run together.

    Attributes:
        members: in the order in which their files were given.
    """

    members: tuple[FleetMember, ...]

    @property
    def name(self) -> str:
        """Its name; default: ``fleet``."""
        return next((m.settings.name for m in self.members if m.settings.name), "fleet")

    def split(self) -> tuple[Fleet, ...]:
        """Return a fleet for each name, in the order of the files.

        Deployments without a ``[fleet] name`` belong to the named fleet if there is only one. If
        there are several named fleets, these deployments are a fleet without a name.
        """
        names = list(dict.fromkeys(m.settings.name for m in self.members if m.settings.name))
        if len(names) < 2:
            return (self,)
        groups: dict[str, list[FleetMember]] = {}
        for member in self.members:
            groups.setdefault(member.settings.name, []).append(member)
        return tuple(Fleet(members=tuple(members)) for members in groups.values())

    def using(self, kind: Kind) -> tuple[FleetMember, ...]:
        """Return the members with replicas that use a storage kind."""
        return tuple(m for m in self.members if m.replicas and kind in m.composition.backends)

    def external(self, what: str) -> bool:
        """Return whether programs outside the fleet use a ``topic:NAME`` or ``actor:NAME``."""
        return any(what in member.settings.external for member in self.members)


def who(members: Iterable[FleetMember]) -> str:
    """Return members for messages: ``deployments a.toml, b.toml``."""
    names = [str(member.path or member.name) for member in members]
    return f"deployment{'s' if len(names) > 1 else ''} {', '.join(names)}"


def named(pairs: Iterable[tuple[FleetMember, Any]]) -> str:
    """Return a value for each member, for messages: ``api.toml: redis; worker.toml: postgres``."""
    return "; ".join(f"{member.path or member.name}: {value}" for member, value in pairs)
