"""Check that a name means the same in all deployments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import Schedule
from rolehost.api.limits import Limits
from rolehost.api.metrics import Metric
from rolehost.composition.model import Owned
from rolehost.composition.names import described
from rolehost.composition.routes import responders
from rolehost.composition.schemas import schema_of
from rolehost.composition.topology import actor_of
from rolehost.delivery.limitstore import declared

from rolehost_fleet.compatibility import conflicts
from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet, FleetMember, named

#: A contribution, and the deployment that has it.
Contributed = tuple[FleetMember, Owned[Any]]


def check(fleet: Fleet, notes: Notes) -> None:
    """Report different workers of a queue or members of a group, and names with two meanings."""
    _queues(fleet, notes)
    _groups(fleet, notes)
    _actors(fleet, notes)
    _limits(fleet, notes)
    _schedules(fleet, notes)
    _commands(fleet, notes)
    _routes(fleet, notes)
    _metrics(fleet, notes)
    _payloads(fleet, notes)


def _running(fleet: Fleet) -> list[FleetMember]:
    return [member for member in fleet.members if member.roles]


def _queues(fleet: Fleet, notes: Notes) -> None:
    """Every worker of a queue must have all actors of the queue."""
    queues: dict[str, dict[FleetMember, set[str]]] = {}
    for member in fleet.members:
        for owned in member.actors_run():
            held = queues.setdefault(owned.value.queue, {}).setdefault(member, set())
            held.add(owned.value.name)
    for queue, members in queues.items():
        every = set().union(*members.values())
        lacking = [(member, sorted(every - held)) for member, held in members.items()]
        lacking = [(member, names) for member, names in lacking if names]
        if lacking:
            notes.error(
                "queue-differs",
                members,
                (member.at("worker.queues") for member in members),
                f"not every worker of the queue {queue} has all of its actors: a worker may claim a"
                " job that it cannot run, and must release it again",
                expected=f"{', '.join(sorted(every))} in every deployment with workers of {queue}",
                got="; ".join(
                    f"{member.path or member.name} lacks {', '.join(names)}"
                    for member, names in lacking
                ),
                fix="enable the plugins of the missing actors there, or give these actors another"
                f" queue, or remove {queue} from [worker] queues there",
            )


def _groups(fleet: Fleet, notes: Notes) -> None:
    """Every member of a consumer group must have the same handlers."""
    groups: dict[str, dict[FleetMember, dict[str, str]]] = {}
    for member in fleet.members:
        for owned in member.handlers_run():
            held = groups.setdefault(owned.value.group, {}).setdefault(member, {})
            held[owned.value.topic] = _handling(owned)
    for group, members in groups.items():
        topics_of_members = list(members.values())
        if all(held == topics_of_members[0] for held in topics_of_members):
            continue
        locations = [
            o.location for m in members for o in m.composition.handlers if o.value.group == group
        ]
        topics = {topic for held in topics_of_members for topic in held}
        if all(held.keys() == topics for held in topics_of_members):
            what = "have different handlers for the same topics"
        else:
            what = "read different topics"
        notes.error(
            "group-differs",
            members,
            locations,
            f"deployments of the consumer group {group} {what}: which of them gets an event, or"
            " whether one handles it, is random",
            expected="the same topics and handlers in every deployment of a group",
            got=named(
                (member, ", ".join(f"{t} by {h}" for t, h in sorted(held.items())))
                for member, held in members.items()
            ),
            fix="enable the same plugins of this group in all of them, or use different groups",
        )


def _handling(owned: Owned[Any]) -> str:
    handler = owned.value
    batch = f", batch {handler.batch}" if handler.batch > 1 else ""
    return f"{handler.name} of {owned.plugin}{batch}"


def _actor(owned: Owned[Actor]) -> str:
    actor = owned.value
    arguments = ", ".join(map(_argument, actor.arguments.values()))
    return (
        f"{actor.name}({arguments}) of {owned.plugin} in queue {actor.queue}"
        f"{'' if actor.durable else ', ephemeral'}"
    )


def _argument(parameter: inspect.Parameter) -> str:
    """Return an argument with its type; the text of a default may contain a memory address."""
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {inspect.formatannotation(parameter.annotation)}"
    return text if parameter.default is parameter.empty else f"{text} = …"


def _schedule(owned: Owned[Schedule]) -> str:
    schedule = owned.value
    when = f"cron {schedule.cron} {schedule.timezone}" if schedule.cron else f"{schedule.every:g} s"
    arguments = ", ".join(f"{name}={value!r}" for name, value in schedule.arguments.items())
    return f"{actor_of(schedule)}({arguments}) of {owned.plugin}, {when}, missed {schedule.missed}"


def _actors(fleet: Fleet, notes: Notes) -> None:
    _same(
        (
            (owned.value.name, (member, owned))
            for member in _running(fleet)
            for owned in member.composition.actors.values()
        ),
        _actor,
        notes.error,
        "actor-differs",
        "the actor {} has different definitions: a job of one deployment runs the actor of another",
        "enable only one of the plugins with this name, or rename the actor in one of them",
    )


def _limits(fleet: Fleet, notes: Notes) -> None:
    """All workers of a queue must have the same limits, because each enforces its own."""
    of_name: dict[str, dict[FleetMember, Limits]] = {}
    for member in fleet.members:
        actors = {owned.value.name: owned.value for owned in member.actors_run()}
        for name, limits in declared(actors).items():
            of_name.setdefault(name, {})[member] = limits
    for name, members in of_name.items():
        if len(set(members.values())) > 1:
            kind, _, owner = name.partition(":")
            section = "queues" if kind == "queue" else "actors"
            notes.warning(
                "limits-differ",
                members,
                (member.at(f"{section}.{owner}") for member in members),
                f"the limits of {name} differ: each worker enforces its own over all jobs",
                expected="the same limits in every deployment with its workers",
                got=named(members.items()),
                fix=f'write the same [{section}."{owner}"] in a file that all of them include',
            )


def _schedules(fleet: Fleet, notes: Notes) -> None:
    _same(
        (
            (owned.value.name, (member, owned))
            for member in fleet.members
            for owned in member.schedules_run()
        ),
        _schedule,
        notes.error,
        "schedule-differs",
        "the schedule {} has different definitions: which of them ticks is random",
        "give its plugin the same settings in all of them, or rename it in one of them",
    )


def _commands(fleet: Fleet, notes: Notes) -> None:
    _same(
        (
            (owned.value.name, (member, owned))
            for member in fleet.members
            for owned in member.composition.commands
        ),
        lambda owned: f"{owned.value.target} of {owned.plugin}",
        notes.warning,
        "command-differs",
        "rolehost {} has different definitions",
        "rename the command in one of the plugins",
    )


def _routes(fleet: Fleet, notes: Notes) -> None:
    def contributions() -> Iterator[tuple[str, Contributed]]:
        for member in fleet.members:
            for owned in member.composition.routes if "http" in member.roles else ():
                for method in responders(owned.value):
                    yield f"{method} {owned.value.path}", (member, owned)

    _same(
        contributions(),
        lambda owned: f"plugin {owned.plugin}",
        notes.warning,
        "route-differs",
        "{} belongs to different plugins",
        "give one of them another path, or never put both behind one address",
    )


def _metrics(fleet: Fleet, notes: Notes) -> None:
    """Report names at ``/metrics`` with two meanings, because queries would mix them."""
    names: dict[str, list[tuple[FleetMember, Owned[Metric]]]] = {}
    for member in _running(fleet):
        for owned in member.composition.metrics.values():
            for name in owned.value.series:
                names.setdefault(name, []).append((member, owned))
    reported: set[tuple[int, ...]] = set()
    for name, contributions in names.items():
        together = tuple(id(owned) for _, owned in contributions)
        if (
            len({described(owned.value) for _, owned in contributions}) > 1
            and together not in reported
        ):
            reported.add(together)
            notes.warning(
                "metric-differs",
                [member for member, _ in contributions],
                [owned.location for _, owned in contributions],
                f"the name {name} at /metrics has different definitions: queries and alerts over"
                " all deployments would mix them",
                expected="one type, the same labels and the same buckets in the whole fleet",
                got=named((m, f"{described(o.value)}, of {o.plugin}") for m, o in contributions),
                fix="rename the metric in one of the plugins, or declare it equally in both",
            )


def _same(
    contributions: Iterable[tuple[str, Contributed]],
    describe: Callable[[Owned[Any]], str],
    note: Callable[..., None],
    code: str,
    what: str,
    fix: str,
) -> None:
    """Report names whose contributions have different descriptions.

    Args:
        contributions: names, each with a contribution and its deployment.
        describe: returns the text that must be equal.
        note: reports a problem.
        code: error code.
        what: message with a placeholder for the name.
        fix: how to fix it.
    """
    groups: dict[str, list[Contributed]] = {}
    for name, contributed in contributions:
        groups.setdefault(name, []).append(contributed)
    for name, found in groups.items():
        if len({describe(owned) for _, owned in found}) > 1:
            note(
                code,
                [member for member, _ in found],
                [owned.location for _, owned in found],
                what.format(name),
                expected="one definition in the whole fleet",
                got=named((member, describe(owned)) for member, owned in found),
                fix=fix,
            )


def _payloads(fleet: Fleet, notes: Notes) -> None:
    """Every handler must be able to decode the payload types that publishers declare."""
    for member, plugin, topic, kind in _typed(fleet):
        readers = [
            (other, owned)
            for other in fleet.members
            for owned in other.handlers_run()
            if owned.value.topic == topic
        ]
        for other, owned in _deduplicated(readers):
            wrong = _misfits(kind, owned.value.payload)
            if wrong:
                notes.error(
                    "payload-differs",
                    [member, other],
                    [member.enabled_at(plugin), owned.location],
                    f"the handler {owned.value.name} cannot decode the payloads that {plugin}"
                    f" publishes to {topic}: they become dead letters",
                    expected=f"payloads that fit {_name(owned.value.payload)}",
                    got=f"{_name(kind)}: {'; '.join(wrong)}",
                    fix="let the handler accept the published type (new fields with a default), or"
                    " publish to another topic",
                )


def _misfits(written: Any, read: Any) -> list[str]:
    """Return what a handler refuses of a published type; ``bytes`` is never compared."""
    if bytes in (written, read):
        return []
    return conflicts(schema_of(read), schema_of(written))


def _typed(fleet: Fleet) -> Iterator[tuple[FleetMember, str, str, Any]]:
    seen = set()
    for member in _running(fleet):
        for plugin in member.composition.plugins:
            for topic, kind in plugin.info.payloads.items():
                if (plugin.name, topic) not in seen:
                    seen.add((plugin.name, topic))
                    yield member, plugin.name, topic, kind


def _deduplicated(readers: Sequence[Contributed]) -> Iterator[Contributed]:
    seen = set()
    for member, owned in readers:
        if owned.location not in seen:
            seen.add(owned.location)
            yield member, owned


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
