"""Check that jobs have workers, topics have handlers, and schedules have a scheduler."""

from __future__ import annotations

from collections.abc import Iterator

from rolehost.api.contributions import Schedule
from rolehost.composition.model import Owned
from rolehost.composition.topology import actor_of
from rolehost.suggest import did_you_mean

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember


def check(fleet: Fleet, notes: Notes) -> None:
    """Report jobs without a worker, topics without a handler or publisher, and idle schedules."""
    _jobs(fleet, notes)
    _topics(fleet, notes)
    _handlers(fleet, notes)
    _schedules(fleet, notes)
    _roles(fleet, notes)
    _external(fleet, notes)


def enqueuers(fleet: Fleet) -> dict[str, list[tuple[FleetMember, str]]]:
    """Return actor → running members that may enqueue it, each with the location."""
    found: dict[str, list[tuple[FleetMember, str]]] = {}
    for member in fleet.members:
        if not member.roles:
            continue
        for plugin in member.composition.plugins:
            for name in plugin.info.enqueues:
                where = f"{member.enabled_at(plugin.name)}, plugin {plugin.name}"
                found.setdefault(name, []).append((member, where))
        for owned in member.schedules_run():
            where = f"{owned.location}, schedule {owned.value.name}"
            found.setdefault(actor_of(owned.value), []).append((member, where))
    return found


def publishers(fleet: Fleet) -> dict[str, list[tuple[FleetMember, str]]]:
    """Return topic → running members that publish to it, each with the location."""
    found: dict[str, list[tuple[FleetMember, str]]] = {}
    for member in fleet.members:
        for plugin in member.composition.plugins if member.roles else ():
            for topic in plugin.info.publishes:
                where = f"{member.enabled_at(plugin.name)}, plugin {plugin.name}"
                found.setdefault(topic, []).append((member, where))
    return found


def _jobs(fleet: Fleet, notes: Notes) -> None:
    worked = {owned.value.name for member in fleet.members for owned in member.actors_run()}
    # Actors without a worker for the same reason are one error.
    idle: dict[tuple[str, str], dict[str, list[tuple[FleetMember, str]]]] = {}
    for name, places in enqueuers(fleet).items():
        if name not in worked and not fleet.external(f"actor:{name}"):
            why = _whereabouts(fleet, name), _worker(fleet, name)
            idle.setdefault(why, {})[name] = places
    for (got, fix), actors in idle.items():
        names = ", ".join(sorted(actors))
        places = [place for each in actors.values() for place in each]
        many = len(actors) > 1
        notes.error(
            "actor-without-worker",
            (member for member, _ in places),
            (where for _, where in places),
            f"the actor{'s' if many else ''} {names} {'are' if many else 'is'} enqueued, and no"
            " deployment has workers for the jobs: they are never done",
            expected=f"a deployment that runs the role worker with {names}",
            got=got,
            fix=fix,
        )


def _whereabouts(fleet: Fleet, name: str) -> str:
    """Return where an actor without a worker is defined, and why no worker takes its jobs."""
    parts = []
    for member in fleet.members:
        owned = member.composition.actors.get(name)
        if owned is None:
            continue
        place = str(member.path or member.name)
        if not member.replicas:
            parts.append(f"{place} has it, but no replica")
        elif "worker" not in member.roles:
            parts.append(f"{place} has it, but does not run the role worker")
        else:
            parts.append(
                f"{place} has it, but its workers do not take from the queue {owned.value.queue}"
            )
    return "; ".join(parts) or "no deployment has it"


def _worker(fleet: Fleet, name: str) -> str:
    for member in fleet.members:
        owned = member.composition.actors.get(name)
        if owned is None:
            continue
        place = member.path or member.name
        if not member.replicas:
            return f"set [fleet] replicas of {place} to 1 or more"
        if "worker" not in member.roles:
            return f"add worker to [fleet] roles of {place}"
        return f'add "{owned.value.queue}" to [worker] queues of {place}'
    known = {name for member in fleet.members for name in member.composition.actors}
    near = did_you_mean(name, known)
    advice = (
        "enable its plugin in a deployment of workers, or name it in external: "
        f'[fleet] external = ["actor:{name}"]'
    )
    return f"{near} or {advice}" if near else advice


def _topics(fleet: Fleet, notes: Notes) -> None:
    handled = {owned.value.topic for member in fleet.members for owned in member.handlers_run()}
    for topic, places in publishers(fleet).items():
        if topic in handled or fleet.external(f"topic:{topic}"):
            continue
        idle = [m for m in fleet.members for o in m.composition.handlers if o.value.topic == topic]
        near = did_you_mean(topic, handled)
        notes.error(
            "topic-without-handler",
            (member for member, _ in places),
            (where for _, where in places),
            f"events are published to {topic}, but no deployment handles them",
            expected="a deployment that runs the role consumer with a handler of the topic,"
            " or readers outside the fleet",
            got=f"{idle[0].path or idle[0].name} has one, but does not run the role consumer"
            if idle
            else "no handler",
            fix=f"add consumer to [fleet] roles of {idle[0].path or idle[0].name}"
            if idle
            else f"{near + ' or ' if near else ''}enable a plugin with a handler of it, or"
            f' declare that other programs read it: [fleet] external = ["topic:{topic}"]',
        )


def _handlers(fleet: Fleet, notes: Notes) -> None:
    published = publishers(fleet)
    unpublished: dict[str, list[tuple[FleetMember, str]]] = {}
    for member in fleet.members:
        for owned in member.handlers_run():
            topic = owned.value.topic
            if topic not in published and not fleet.external(f"topic:{topic}"):
                unpublished.setdefault(topic, []).append((member, owned.location))
    for topic, places in unpublished.items():
        near = did_you_mean(topic, published)
        notes.warning(
            "handler-without-publisher",
            (member for member, _ in places),
            (place for _, place in places),
            f"the topic {topic} is handled, but no deployment publishes to it",
            expected="a plugin that declares to publish to it, or publishers outside the fleet",
            got="no publisher",
            fix=f"{near + ' or ' if near else ''}declare that other programs publish to it:"
            f' [fleet] external = ["topic:{topic}"]',
        )


def _schedules(fleet: Fleet, notes: Notes) -> None:
    ticked = {owned.value.name for member in fleet.members for owned in member.schedules_run()}
    for name, places in _declared(fleet).items():
        if name in ticked:
            continue
        members = [member for member, _ in places]
        notes.error(
            "schedule-without-scheduler",
            members,
            (owned.location for _, owned in places),
            f"no deployment runs the schedule {name}: it never ticks",
            expected="a deployment with this schedule that runs the role scheduler",
            got="; ".join(_runs(member) for member in dict.fromkeys(members)),
            fix=f"add scheduler to [fleet] roles of {members[0].path or members[0].name}"
            if members[0].replicas
            else f"set [fleet] replicas of {members[0].path or members[0].name} to 1 or more",
        )


def _declared(fleet: Fleet) -> dict[str, list[tuple[FleetMember, Owned[Schedule]]]]:
    found: dict[str, list[tuple[FleetMember, Owned[Schedule]]]] = {}
    for member in fleet.members:
        for owned in member.composition.schedules:
            found.setdefault(owned.value.name, []).append((member, owned))
    return found


def _runs(member: FleetMember) -> str:
    place = member.path or member.name
    if not member.replicas:
        return f"{place} has no replica"
    return f"{place} runs {', '.join(member.roles) or 'no role'}"


def _roles(fleet: Fleet, notes: Notes) -> None:
    for member, role in _missing(fleet):
        notes.error(
            "role-missing",
            [member],
            [member.at("fleet.roles")],
            f"[fleet] roles has {role}, but no plugin contributes anything that needs it",
            expected=f"roles of {', '.join(member.composition.roles) or 'none'}",
            got=role,
            fix=f"enable a plugin that needs the role {role}, or remove {role} from [fleet] roles",
        )
    for member in fleet.members:
        if member.replicas and not member.roles:
            notes.error(
                "nothing-to-run",
                [member],
                [member.at("fleet.roles")],
                "the deployment has instances, but they run no role",
                expected="at least one role, or no replica",
                got=f"{member.replicas} replica{'s' if member.replicas > 1 else ''}, no role",
                fix="enable a plugin that contributes something to run, or set replicas to 0",
            )


def _external(fleet: Fleet, notes: Notes) -> None:
    """Report misspelt names in ``[fleet] external``, because such names silence other checks."""
    handlers = (owned for member in fleet.members for owned in member.composition.handlers)
    known = {f"topic:{topic}" for topic in (*publishers(fleet), *(o.value.topic for o in handlers))}
    known |= {f"actor:{name}" for name in enqueuers(fleet)}
    idle: dict[str, list[FleetMember]] = {}
    for member in fleet.members:
        for name in member.settings.external:
            if name not in known:
                idle.setdefault(name, []).append(member)
    for name, members in idle.items():
        notes.warning(
            "external-unknown",
            members,
            (member.at("fleet.external") for member in members),
            f"[fleet] external has {name}, but no deployment sends or takes it",
            expected="a topic that the fleet publishes or handles, or an actor that it enqueues",
            got=name,
            fix=did_you_mean(name, known) or f"remove {name} from [fleet] external",
        )


def _missing(fleet: Fleet) -> Iterator[tuple[FleetMember, str]]:
    for member in fleet.members:
        for role in member.settings.roles or ():
            if role not in member.composition.roles:
                yield member, role
