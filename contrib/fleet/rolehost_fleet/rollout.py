"""In which order a new version of a fleet rolls out, and what forbids it.

Consumers go before producers for what appears, producers before consumers for what disappears,
and what is queued is worked off in between. While it rolls out, old and new processes live side
by side: old jobs meet new workers, and new jobs old ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rolehost.composition.manifest import ActorEntry, HandlerEntry, Manifest
from rolehost.errors import Problem

from rolehost_fleet.changes import Sides
from rolehost_fleet.compatibility import fields, misfits, renamed
from rolehost_fleet.ordering import Edge, draining, rolling
from rolehost_fleet.status import FleetStatus


@dataclass(slots=True)
class Rules:
    """What a rollout must keep to, while it is collected.

    Attributes:
        edges: what comes before what.
        drains: what must be worked off → how many there are now; None: not known.
        mistakes: what forbids it.
        warnings: what to be careful of.
    """

    edges: list[Edge] = field(default_factory=list)
    drains: dict[str, int | None] = field(default_factory=dict)
    mistakes: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def before(self, first: Iterable[str], then: Iterable[str], why: str) -> None:
        """Let some deployments roll out before others; none waits for itself."""
        for one in first:
            self.edges += [
                Edge(rolling(one), rolling(other), why) for other in then if other != one
            ]

    def drain(
        self, what: str, left: int | None, first: Iterable[str], then: Iterable[str], why: str
    ) -> None:
        """Let something be worked off after some deployments have changed, before others do.

        One that is among both cannot change before and after it: it changes after.
        """
        node = draining(what)
        later = set(then)
        self.drains[what] = left
        self.edges += [Edge(rolling(one), node, why) for one in first if one not in later]
        self.edges += [Edge(node, rolling(other), why) for other in sorted(later)]

    def problem(self, wrong: bool, code: str, who: str, what: str, **words: str) -> None:
        """Note what forbids the rollout, or with ``wrong`` False what to be careful of."""
        words.setdefault("where", "old and new version")
        (self.mistakes if wrong else self.warnings).append(
            Problem(code=code, who=who, what=what, **words)
        )


def rules(sides: Sides, status: FleetStatus | None) -> Rules:
    """Find what the rollout from one version to another must keep to.

    Args:
        sides: both versions.
        status: how the fleet stands; None: nobody looked.
    """
    found = Rules()
    old = _by_name(sides.old, lambda manifest: manifest.worked)
    new = _by_name(sides.new, lambda manifest: manifest.worked)
    for name in sorted(old.keys() | new.keys()):
        senders = (_sending(sides.old, name), _sending(sides.new, name))
        outside = any(f"actor:{name}" in each.external for each in sides.new.values())
        _actor(found, name, (old.get(name, {}), new.get(name, {})), senders, status, outside)
    was = _by_name(sides.old, lambda manifest: manifest.consumed)
    now = _by_name(sides.new, lambda manifest: manifest.consumed)
    for key in sorted(was.keys() | now.keys()):
        _group(found, key, (was.get(key, {}), now.get(key, {})), sides, status)
    _schedules(found, sides)
    _outbox(found, sides, status)
    _storage(found, sides)
    return found


def _by_name(manifests: Mapping[str, Manifest], of: Any) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for deployment, manifest in manifests.items():
        for name, entry in of(manifest).items():
            found.setdefault(name, {})[deployment] = entry
    return found


def _sending(manifests: Mapping[str, Manifest], actor: str) -> list[str]:
    return sorted(name for name, manifest in manifests.items() if actor in manifest.enqueues)


def _actor(
    found: Rules,
    name: str,
    workers: tuple[dict[str, ActorEntry], dict[str, ActorEntry]],
    senders: tuple[list[str], list[str]],
    status: FleetStatus | None,
    outside: bool,
) -> None:
    old, new = workers
    if not old:
        found.before(new, senders[1], f"it works the actor {name}, which is new")
        return
    left = _left(status, name, old.values())
    if not new:
        _removed_actor(found, name, old, senders, left, outside)
        return
    gained, lost = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    found.before(gained, lost, f"it takes over the actor {name}")
    before, after = next(iter(old.values())), next(iter(new.values()))
    workers_new = sorted(new)
    if before.queue != after.queue or before.durable != after.durable:
        _moved_actor(found, name, (before, after), workers_new, senders, left)
    _arguments(found, name, (before, after), workers_new, senders, left)


def _removed_actor(
    found: Rules,
    name: str,
    old: Mapping[str, ActorEntry],
    senders: tuple[list[str], list[str]],
    left: int | None,
    outside: bool,
) -> None:
    workers = sorted(old)
    noun = _noun(next(iter(old.values())))
    if senders[1] and not outside:
        found.problem(
            True,
            "actor-without-worker",
            f"actor {name}",
            f"{name} is enqueued by {', '.join(senders[1])} and worked by nobody any more",
            expected="a worker for every actor that is enqueued",
            got=f"it was worked by {', '.join(workers)}",
            fix="keep a worker for it, or take the enqueueing out too",
        )
    found.drain(f"jobs of {name}", left, senders[0], workers, f"the actor {name} goes")
    if left or left is None:
        known = left is not None
        found.problem(
            known,
            "backlog" if known else "backlog-unknown",
            f"actor {name}",
            f"{name} is taken away with {_count(left, noun)} waiting"
            if known
            else f"{name} is taken away; nobody looked whether jobs of it wait",
            expected="none waiting",
            got=_count(left, noun) if known else "not known",
            where=f"worked by {', '.join(workers)}",
            fix=f"let {', '.join(workers)} work them off once nobody enqueues them, or cancel"
            " them (rolehost jobs); then plan again"
            if known
            else "plan with --connect, or against live",
        )
    both = ", ".join(sorted(set(senders[0]) & set(workers) - set(senders[1])))
    if both:
        found.problem(
            False,
            "removed-at-once",
            f"actor {name}",
            f"{both} stops enqueueing and stops working {name} in one rollout: what"
            " its old processes enqueue meanwhile stays behind",
            expected="one rollout that stops enqueueing, another that takes the actor away",
            got="both at once",
            fix="make two rollouts, or look at rolehost fleet status afterwards",
        )


def _noun(entry: ActorEntry) -> str:
    """Name what waits for an actor; ephemeral messages are known by their queue alone."""
    return "job of it" if entry.durable else f"message of the queue {entry.queue}"


def _moved_actor(
    found: Rules,
    name: str,
    entries: tuple[ActorEntry, ActorEntry],
    workers: Sequence[str],
    senders: tuple[list[str], list[str]],
    left: int | None,
) -> None:
    before, after = entries
    queue = before.queue
    found.drain(
        f"jobs of {name} in the queue {queue}",
        left,
        senders[1],
        workers,
        f"the actor {name} leaves the queue {queue}",
    )
    what = (
        f"{name} moves from the queue {queue} to {after.queue}"
        if queue != after.queue
        else f"{name} becomes {'durable' if after.durable else 'ephemeral'}"
    )
    waiting = _count(left, "job") if left is not None else "an unknown number of jobs"
    found.problem(
        bool(left),
        "backlog" if left else "queue-moved",
        f"actor {name}",
        f"{what}, and jobs that wait in {queue} will not be worked there any more"
        if left != 0
        else f"{what}; jobs that old processes enqueue meanwhile stay behind",
        expected=f"no job of it in {queue}",
        got=waiting,
        fix=f"let them be worked off first; or keep an actor of another name for {after.queue}",
    )


def _arguments(
    found: Rules,
    name: str,
    entries: tuple[ActorEntry, ActorEntry],
    workers: Sequence[str],
    senders: tuple[list[str], list[str]],
    left: int | None,
) -> None:
    before, after = entries
    forwards = misfits(after.arguments, before.arguments)
    backwards = misfits(before.arguments, after.arguments)
    everyone = sorted({*senders[0], *senders[1]})
    apart = [sender for sender in everyone if sender not in workers]
    at_once = [sender for sender in everyone if sender in workers]
    words = {
        "where": f"worked by {', '.join(workers)}; enqueued by {', '.join(everyone) or 'nobody'}",
        "expected": f"({_signature(before)}), or what reads and writes it too",
        "got": f"({_signature(after)})",
    }
    rename = renamed(before.arguments, after.arguments)
    named = f"; {rename[0]} was renamed to {rename[1]}" if rename else ""
    if not forwards:
        if backwards:
            found.before(workers, apart, f"its workers of {name} know what is new in its arguments")
        _readable(found, name, entries, at_once, backwards, words)
        return
    if not backwards and not at_once:
        found.drain(
            f"jobs of {name} in the old form",
            left,
            apart,
            workers,
            f"the new workers of {name} refuse what old processes enqueue: {'; '.join(forwards)}",
        )
        return
    found.problem(
        True,
        "argument-incompatible",
        f"actor {name}",
        f"new workers of {name} refuse jobs of old processes: {'; '.join(forwards)}"
        + (f"; and old workers those of new ones: {'; '.join(backwards)}" if backwards else "")
        + named,
        fix="make two rollouts: first let the actor take both forms (a new argument with a"
        " default), then let the old one go; or give the new form a name of its own",
        **words,
    )


def _readable(
    found: Rules,
    name: str,
    entries: tuple[ActorEntry, ActorEntry],
    at_once: Sequence[str],
    backwards: Sequence[str],
    words: Mapping[str, str],
) -> None:
    """Tell what to be careful of where the new workers read what the old processes enqueue."""
    if backwards and at_once:
        found.problem(
            False,
            "argument-overlap",
            f"actor {name}",
            f"while {', '.join(at_once)} rolls out, its old workers refuse what its new"
            f" processes enqueue for {name}: {'; '.join(backwards)}",
            fix="do not use it before the rollout is over, or split enqueueing and working"
            " into two rollouts; what was refused can be replayed (rolehost dead)",
            **words,
        )
    elif not backwards and _blind(entries[0]) != _blind(entries[1]):
        found.problem(
            False,
            "argument-types",
            f"actor {name}",
            f"the types of the arguments of {name} are others, and whether one reads what"
            " the other writes cannot be told",
            fix="compare them; rolehost fleet plan --connect tries what is queued",
            **words,
        )


def _group(
    found: Rules,
    key: tuple[str, str],
    consumers: tuple[dict[str, HandlerEntry], dict[str, HandlerEntry]],
    sides: Sides,
    status: FleetStatus | None,
) -> None:
    topic, group = key
    old, new = consumers
    senders = (_publishing(sides.old, topic), _publishing(sides.new, topic))
    if not old:
        found.before(new, senders[1], f"it reads the topic {topic} in the group {group}")
        if senders[0]:
            found.problem(
                False,
                "new-group",
                f"group {group}",
                f"the group {group} is new on {topic}, which has been published before: it"
                " begins with the oldest event that is kept",
                expected="a handler that bears old events",
                got="a group without offsets",
                fix="nothing, when that is meant; a renamed group reads everything again",
            )
        return
    unread = _unread(status, topic, group)
    if not new:
        why = f"nobody reads {topic} in the group {group} any more"
        # Where others go on publishing there is no end to wait for but the moment's.
        first = [] if senders[1] else senders[0]
        found.drain(f"events of {topic} for {group}", unread, first, sorted(old), why)
        if unread or unread is None:
            known = unread is not None
            found.problem(
                known,
                "backlog" if known else "backlog-unknown",
                f"group {group}",
                f"the group {group} is taken away with {_count(unread, 'event')} of {topic} unread"
                if known
                else f"the group {group} is taken away; nobody looked what of {topic} is unread",
                expected="none unread",
                got=_count(unread, "event") if known else "not known",
                fix="let it read them first; or, when they may stay unread, plan with"
                f' --accept "group {group}"'
                if known
                else "plan with --connect, or against live",
            )
        return
    gained, lost = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    found.before(gained, lost, f"it takes over {topic} for the group {group}")
    _payloads(found, key, (next(iter(old.values())), next(iter(new.values()))), sides, unread)


def _payloads(
    found: Rules,
    key: tuple[str, str],
    handlers: tuple[HandlerEntry, HandlerEntry],
    sides: Sides,
    unread: int | None,
) -> None:
    topic, group = key
    before, after = handlers
    written_before = _written(sides.old, topic, before)
    written_after = _written(sides.new, topic, after)
    forwards = misfits(after.payload or {}, written_before)
    backwards = misfits(before.payload or {}, written_after)
    if before.payload == after.payload and written_before == written_after:
        return
    readers = sorted(name for name, each in sides.new.items() if key in each.consumed)
    writers = _publishing(sides.new, topic)
    if forwards:
        found.problem(
            unread != 0,
            "payload-incompatible",
            f"group {group}",
            f"the new handler {after.name} refuses events of {topic} that old processes"
            f" publish: {'; '.join(forwards)}",
            expected="a type that reads what was published before",
            got=_count(unread, "event") + " unread" if unread is not None else "not known how many",
            fix="let the handler take both forms until what was published before is read",
        )
    elif backwards:
        found.before(readers, writers, f"its handler of {topic} knows the new payload")


def _schedules(found: Rules, sides: Sides) -> None:
    for deployment, manifest in sides.new.items():
        before = sides.old.get(deployment)
        ticked = before.ticked if before else {}
        for name, entry in manifest.ticked.items():
            if name in ticked:
                continue
            workers = [each for each, other in sides.new.items() if entry.actor in other.worked]
            found.before(workers, [deployment], f"it works what the schedule {name} enqueues")


def _outbox(found: Rules, sides: Sides, status: FleetStatus | None) -> None:
    if status is None or not status.outbox:
        return
    if any(manifest.relays for manifest in sides.new.values()):
        return
    topics = ", ".join(each.topic for each in status.outbox)
    left = sum(each.events for each in status.outbox)
    found.problem(
        True,
        "backlog",
        "outbox",
        f"nobody will relay the outbox any more, and {_count(left, 'event')} of {topics} wait"
        " in it",
        expected="an empty outbox",
        got=_count(left, "event"),
        fix="let the old version relay them first (rolehost fleet status)",
    )


def _storage(found: Rules, sides: Sides) -> None:
    for name in sorted(sides.old.keys() & sides.new.keys()):
        before, after = sides.old[name].backends, sides.new[name].backends
        for kind in ("database", "stream"):
            if before.get(kind) and after.get(kind) and before[kind] != after[kind]:
                found.problem(
                    True,
                    "backend-changed",
                    f"deployment {name}",
                    f"{name} changes its {kind} from {before[kind]} to {after[kind]}, and what"
                    " is in the old one stays there",
                    expected=f"{before[kind]}",
                    got=f"{after[kind]}",
                    fix="move the data while nothing runs; then plan with"
                    f' --accept "deployment {name}"',
                )
    known = {each for manifest in sides.new.values() for each in manifest.migrations}
    gone = sorted({each for manifest in sides.old.values() for each in manifest.migrations} - known)
    if gone:
        found.problem(
            False,
            "migrations-gone",
            "schema",
            f"the new version does not have {', '.join(each.label for each in gone)}",
            expected="every migration that the old version has",
            got="fewer",
            fix="when this is a step back, take them back with the old version"
            " (rolehost migrate down) after its processes are gone",
        )


def _publishing(manifests: Mapping[str, Manifest], topic: str) -> list[str]:
    return sorted(name for name, manifest in manifests.items() if topic in manifest.publishes)


def _written(
    manifests: Mapping[str, Manifest], topic: str, handler: HandlerEntry
) -> dict[str, Any]:
    """Return the schema of what is published; where nobody tells, that of who reads it."""
    told = (each.payloads[topic] for each in manifests.values() if topic in each.payloads)
    return next(told, handler.payload or {})


def _left(status: FleetStatus | None, actor: str, entries: Iterable[ActorEntry]) -> int | None:
    """Count what waits for an actor; of an ephemeral one, all that waits in its queue."""
    if status is None:
        return None
    queues = {entry.queue for entry in entries}
    if any(not entry.durable for entry in entries):
        return sum(status.messages.get(queue, 0) for queue in queues)
    return sum(
        each.waiting + each.held
        for each in status.jobs
        if each.actor == actor and each.queue in queues
    )


def _unread(status: FleetStatus | None, topic: str, group: str) -> int | None:
    if status is None:
        return None
    return next(
        (each.records for each in status.unread if (each.topic, each.group) == (topic, group)),
        0,
    )


def _signature(entry: ActorEntry) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in entry.types)


def _blind(entry: ActorEntry) -> dict[str, str]:
    """Return the types of those arguments of which the schema says no more than: text."""
    known = fields(entry.arguments)
    return {
        name: kind
        for name, kind in entry.types
        if known.get(name, {}).get("type") == "string" and "format" not in known[name]
    }


def _count(number: int | None, noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return f"{number} {first}{'' if number == 1 else 's'}{space}{rest}"
