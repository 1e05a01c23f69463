"""Check that settings of the whole fleet are the same in all deployments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rolehost.api.settings import Secret

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember, named

#: Settings of a single process, which may differ.
_OWN = frozenset({"poll", "heartbeat"})


def check(fleet: Fleet, notes: Notes) -> None:
    """Report settings that must be equal and differ, and names or addresses that are used twice."""
    running = [member for member in fleet.members if member.replicas]
    _names(fleet, notes)
    _environments(running, notes)
    _contract(running, notes)
    _leases(running, notes)
    _said(fleet, notes)
    _plugins(running, notes)
    _binds(running, notes)


def _names(fleet: Fleet, notes: Notes) -> None:
    names: dict[str, list[FleetMember]] = {}
    for member in fleet.members:
        names.setdefault(member.name, []).append(member)
    for name, members in names.items():
        if len(members) > 1:
            notes.error(
                "deployment-twice",
                members,
                (member.at("deployment.name") for member in members),
                f"{len(members)} deployments are named {name}: their processes, metrics and logs"
                " cannot be distinguished",
                expected="a different name for each deployment",
                got=named((member, name) for member in members),
                fix="set [deployment] name in all but one of them",
            )


def _differ(
    members: Sequence[FleetMember], key: str, values: Sequence[Any], notes: Notes, **words: str
) -> None:
    """Report a setting that differs between members."""
    if any(value != values[0] for value in values):
        notes.error(
            words.pop("code"),
            members,
            (member.at(key) for member in members),
            words.pop("what"),
            got=named(zip(members, values, strict=True)),
            **words,
        )


def _environments(members: Sequence[FleetMember], notes: Notes) -> None:
    _differ(
        members,
        "deployment.environment",
        [member.deployment.host.deployment.environment for member in members],
        notes,
        code="environment-differs",
        what="deployments of one fleet have different environments: undeclared names are refused"
        " in one and only counted in another",
        expected="one environment for all deployments",
        fix="set [deployment] environment to the same value in all of them",
    )


def _contract(members: Sequence[FleetMember], notes: Notes) -> None:
    users = [member for member in members if "database" in member.composition.backends]
    if not users:
        return
    for field in msgspec.structs.fields(users[0].deployment.host.delivery):
        if field.name not in _OWN:
            _differ(
                users,
                f"delivery.{field.name}",
                [getattr(member.deployment.host.delivery, field.name) for member in users],
                notes,
                code="delivery-differs",
                what=f"delivery.{field.name} differs, but all processes on one database must have"
                " the same value",
                expected=f"the same delivery.{field.name} in all deployments",
                fix="set it in a file that all of them include",
            )


def _leases(members: Sequence[FleetMember], notes: Notes) -> None:
    users = [member for member in members if "scheduler" in member.roles]
    _differ(
        users,
        "scheduler.lease",
        [member.deployment.host.scheduler.lease for member in users],
        notes,
        code="scheduler-differs",
        what="schedulers use leases of different length",
        expected="the same scheduler.lease in all deployments that run the role scheduler",
        fix="set it in a file that all of them include",
    )


def _said(fleet: Fleet, notes: Notes) -> None:
    """Settings about the whole fleet must be equal in all deployments that set them."""
    said = [m for m in fleet.members if m.settings.database_connections is not None]
    _differ(
        said,
        "fleet.database_connections",
        [member.settings.database_connections for member in said],
        notes,
        code="fleet-differs",
        what="deployments set different connection limits for the database",
        expected="one fleet.database_connections",
        fix="set it once, in a file that all of them include",
    )


def _plugins(members: Sequence[FleetMember], notes: Notes) -> None:
    """Workers of the same jobs and members of the same groups must have equal plugin settings."""
    # Deployments that read different topics are left to the check of consumer groups.
    sections: dict[tuple[str, frozenset[str]], list[tuple[FleetMember, Any]]] = {}
    for member in members:
        taken: dict[str, set[str]] = {owned.plugin: set() for owned in member.actors_run()}
        for owned in member.handlers_run():
            taken.setdefault(owned.plugin, set()).add(owned.value.topic)
        for name, topics in taken.items():
            settings = member.composition.plugin(name).settings
            sections.setdefault((name, frozenset(topics)), []).append((member, settings))
    for (name, _), found in sections.items():
        for key in _differing([settings for _, settings in found]):
            notes.warning(
                "settings-differ",
                (member for member, _ in found),
                (member.at(f"{name}.{key}") for member, _ in found),
                f"{name}.{key} differs between deployments that do the same work: which value"
                " applies is random",
                expected="the same value in all deployments that take its jobs or events",
                got=named((member, _shown(getattr(settings, key))) for member, settings in found),
                fix="set it in a file that all of them include",
            )


def _differing(settings: Sequence[Any]) -> Iterator[str]:
    first = settings[0]
    if first is None:
        return
    for field in msgspec.structs.fields(first):
        values = [getattr(each, field.name) for each in settings]
        if any(value != values[0] for value in values):
            yield field.name


def _shown(value: Any) -> str:
    return "(another secret)" if isinstance(value, Secret) else repr(value)


def _binds(members: Sequence[FleetMember], notes: Notes) -> None:
    """Instances on one machine must have different addresses."""
    places: dict[tuple[str, str], list[FleetMember]] = {}
    for member in members:
        machine = member.settings.machine
        if machine is not None and "http" in member.roles:
            bind = member.deployment.host.http.bind
            places.setdefault((machine, bind), []).extend([member] * member.replicas)
    for (machine, bind), claims in places.items():
        if len(claims) > 1 and not bind.endswith(":0"):
            notes.error(
                "bind-taken",
                claims,
                (member.at("http.bind") for member in claims),
                f"{len(claims)} instances on the machine {machine} want to listen on {bind}",
                expected="a different address for each instance on a machine",
                got=named(
                    (member, f"{member.replicas} × {bind}") for member in dict.fromkeys(claims)
                ),
                fix="set a different http.bind in each, or use different machines",
            )
