"""Check that all deployments share their storage, and that one creates the tables."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.storage import KINDS, Kind

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember, named

#: Consequence if deployments do not share a storage kind.
_APART: dict[Kind, str] = {
    "database": "a deployment cannot see jobs, outbox, inbox and leases of the others",
    "queue": "a wake-up in one queue does not reach workers that wait at another",
    "stream": "a deployment cannot read events of the others",
    "cache": "values that one deployment invalidates stay in the caches of the others",
}

#: Beginnings of addresses and paths on the machine itself.
_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "/", "%2F")


def check(fleet: Fleet, notes: Notes) -> None:
    """Report storage that is not or cannot be shared, and tables that no deployment creates."""
    alike = [kind for kind in KINDS if _backends(kind, fleet.using(kind), notes)]
    apart: dict[tuple[str, str], list[Kind]] = {}
    local: dict[str, list[Kind]] = {}
    for kind in alike:
        members = fleet.using(kind)
        plugin = members[0].composition.backends[kind].plugin
        found = _identities(kind, members)
        if len({identity for _, identity in found}) > 1:
            apart.setdefault((plugin, named(found)), []).append(kind)
        if _on_one_machine(kind, members) and _several(members):
            local.setdefault(plugin, []).append(kind)
        _loopback(kind, members, notes)
    for (plugin, _), kinds in apart.items():
        _servers(plugin, kinds, fleet, notes)
    for plugin, kinds in local.items():
        _one_machine(plugin, kinds, fleet, notes)
    _migrations(fleet, notes)


def _place(kind: Kind, member: FleetMember) -> str:
    owned = member.composition.backends[kind]
    key = f"storage.{kind}"
    if member.deployment.origins.get(key) is not None:
        return member.at(key)
    return f"{member.enabled_at(owned.plugin)}, plugin {owned.plugin}"


def _backends(kind: Kind, members: Sequence[FleetMember], notes: Notes) -> bool:
    """Report different backends of a kind; return whether all members have the same one."""
    names = [(member, member.composition.backends[kind].value.name) for member in members]
    if len({name for _, name in names}) < 2:
        return bool(names)
    notes.error(
        "backend-differs",
        members,
        (_place(kind, member) for member in members),
        f"the deployments have different backends for {kind}: {_APART[kind]}",
        expected=f"the same {kind} in all deployments that use one",
        got=named(names),
        fix=f"set [storage] {kind} to the same name in all of them, preferably in a file that"
        " they include",
    )
    return False


def _identities(kind: Kind, members: Sequence[FleetMember]) -> list[tuple[FleetMember, str]]:
    """Return the identities of a storage kind, without members whose settings do not show one."""
    return [
        (member, backend.fleet.identity)
        for member in members
        if (backend := member.composition.backends[kind].value).fleet.identity
    ]


def _servers(plugin: str, kinds: Sequence[Kind], fleet: Fleet, notes: Notes) -> None:
    found = _identities(kinds[0], fleet.using(kinds[0]))
    leads = {identity for member, identity in found if "scheduler" in member.roles}
    data = " and ".join(kinds)
    if "database" in kinds and len(leads) > 1:
        code = "schedulers-apart"
        what = (
            "several schedulers lead at once, because their leases are in different databases: each"
            " schedule ticks more than once"
        )
        expected = "one database for all deployments, in particular for those with a scheduler"
    else:
        code = "server-differs"
        what = f"the deployments keep their {data} in different places: {_APART[kinds[0]]}"
        expected = f"the same place for the {data} of all deployments"
    notes.error(
        code,
        (member for member, _ in found),
        (member.at(f"{plugin}.{_key(member, plugin)}") for member, _ in found),
        what,
        expected=expected,
        got=named(found),
        fix=f"give [{plugin}] the same values in all of them, preferably in a file that they"
        " include",
    )


def _key(member: FleetMember, plugin: str) -> str:
    """Return the key of a section that most likely contains the address of the data."""
    origins = member.deployment.origins
    given = [name for name in ("url", "servers", "path") if f"{plugin}.{name}" in origins]
    return given[0] if given else "url"


def _on_one_machine(kind: Kind, members: Sequence[FleetMember]) -> bool:
    """Return whether the backend of a kind works on one machine only."""
    return any(
        "multi-host" not in member.composition.backends[kind].value.capabilities
        for member in members
    )


def _one_machine(plugin: str, kinds: Sequence[Kind], fleet: Fleet, notes: Notes) -> None:
    members = tuple(dict.fromkeys(member for kind in kinds for member in fleet.using(kind)))
    what = " and ".join((", ".join(kinds[:-1]), kinds[-1]) if len(kinds) > 1 else kinds)
    notes.error(
        "one-machine-backend",
        members,
        (member.enabled_at(plugin) for member in members),
        f"{plugin} offers {what} for one machine, and the instances may run on several:"
        f" {_APART[kinds[0]]}",
        expected=f"backends that declare multi-host for {what}, or one machine for all instances",
        got=f"{plugin}, with {_instances(members)}",
        fix=f"choose other backends for {what}; or, if all instances run on one machine, set"
        " [fleet] machine to its name in all these deployments",
    )


def _several(members: Sequence[FleetMember]) -> bool:
    """Return whether instances may run on more than one machine."""
    machines = {member.settings.machine for member in members}
    if None not in machines:
        return len(machines) > 1
    return sum(member.replicas + member.settings.surge for member in members) > 1


def _instances(members: Sequence[FleetMember]) -> str:
    count = sum(member.replicas for member in members)
    more = sum(member.settings.surge for member in members)
    return (
        f"{count} instance{'s' if count > 1 else ''}{f' and {more} in a rollout' if more else ''}"
        f" of {len(members)} deployment{'s' if len(members) > 1 else ''}"
    )


def _loopback(kind: Kind, members: Sequence[FleetMember], notes: Notes) -> None:
    """Report a loopback address if the instances run on different machines."""
    machines = {m.settings.machine for m in members if m.settings.machine is not None}
    if len(machines) < 2:
        return
    own = [
        member
        for member in members
        if "multi-host" in (backend := member.composition.backends[kind].value).capabilities
        and backend.fleet.identity.startswith(_LOOPBACK)
    ]
    if len({member.settings.machine for member in own}) < 2:
        return
    plugin = own[0].composition.backends[kind].plugin
    notes.error(
        "loopback-server",
        own,
        (member.at(f"{plugin}.{_key(member, plugin)}") for member in own),
        f"the address of the {kind} is a loopback address, but the instances run on different"
        f" machines: {_APART[kind]}",
        expected="an address that is the same server on all machines",
        got=named((m, f"{m.composition.backends[kind].value.fleet.identity}") for m in own),
        fix=f"set an address in [{plugin}] that all machines can reach",
    )


def _migrations(fleet: Fleet, notes: Notes) -> None:
    makers = [member for member in fleet.using("database") if _migrates(member)]
    made = {entry for member in makers for entry in member.composition.schema_sets}
    owners: dict[str, list[tuple[FleetMember, str]]] = {}
    for member in fleet.using("database"):
        for owner, package in member.composition.schema_sets:
            owners.setdefault(owner, []).append((member, package))
            if (owner, package) not in made and makers:
                _unmade(member, owner, makers, notes)
    if not makers and owners:
        members = fleet.using("database")
        notes.error(
            "migrations-without-owner",
            members,
            (member.at("deployment.migrate") for member in members),
            "no deployment applies the migrations, so none of them will start",
            expected='a deployment with migrate = "run", or a job that applies them:'
            ' [fleet] migrations = "job"',
            got=named((member, 'migrate = "check"') for member in members),
            fix='set [deployment] migrate = "run" in one of them; or run rolehost migrate up'
            ' -d FILE before them and set [fleet] migrations = "job"',
        )
    for owner, found in owners.items():
        if len({package for _, package in found}) > 1:
            notes.error(
                "migrations-differ",
                (member for member, _ in found),
                (member.at("plugins") for member, _ in found),
                f"deployments have different migrations of {owner}",
                expected="one package of migrations for each owner",
                got=named(found),
                fix="enable only one of the plugins with these migrations, in all deployments",
            )


def _migrates(member: FleetMember) -> bool:
    settings = member.deployment.host.deployment
    migrate = settings.migrate or ("check" if settings.environment == "production" else "run")
    return migrate == "run" or member.settings.migrations == "job"


def _unmade(member: FleetMember, owner: str, makers: Sequence[FleetMember], notes: Notes) -> None:
    plugins = [
        owned.plugin
        for owned in member.composition.migrations
        if (owned.value.owner or owned.plugin) == owner
    ]
    notes.error(
        "migrations-without-owner",
        [member],
        [member.enabled_at(plugins[0]), member.at("deployment.migrate")],
        f"the tables of {owner} are used, but no deployment that migrates creates them",
        expected=f"a plugin with the migrations of {owner} in a deployment that migrates:"
        f" {', '.join(str(maker.path or maker.name) for maker in makers)}",
        got=f"{', '.join(plugins)} in {member.path or member.name} only, which does not migrate",
        fix=f'enable {plugins[0]} there, or set migrate = "run" here',
    )
