"""Constraints of consumer groups on a rollout: readers, backlog, payloads, outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolehost.composition.manifest import HandlerEntry, Manifest

from rolehost_fleet.changes import Sides
from rolehost_fleet.compatibility import conflicts
from rolehost_fleet.rules import Rules, by_name
from rolehost_fleet.status import FleetStatus, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One consumer group on one topic in both versions.

    Attributes:
        topic: the topic.
        name: the group.
        old: deployment that reads it → its handler, in the old version.
        new: the same, in the new version.
        publishers_old: deployments that publish to the topic, in the old version.
        publishers_new: the same, in the new version.
        unread: number of events that it has not read; None: unknown.
    """

    topic: str
    name: str
    old: Mapping[str, HandlerEntry]
    new: Mapping[str, HandlerEntry]
    publishers_old: Sequence[str]
    publishers_new: Sequence[str]
    unread: int | None

    @property
    def who(self) -> str:
        """The group, for the ``who`` of problems."""
        return f"group {self.name}"


def check_events(found: Rules, sides: Sides, status: FleetStatus | None) -> None:
    """Add the constraints and problems of every consumer group and of the outbox.

    Args:
        found: collects them.
        sides: both versions.
        status: status of the fleet; None: unknown.
    """
    old = by_name(sides.old, lambda manifest: manifest.handlers_run)
    new = by_name(sides.new, lambda manifest: manifest.handlers_run)
    for key in sorted(old.keys() | new.keys()):
        topic, name = key
        group = Group(
            topic=topic,
            name=name,
            old=old.get(key, {}),
            new=new.get(key, {}),
            publishers_old=_publishers(sides.old, topic),
            publishers_new=_publishers(sides.new, topic),
            unread=_unread(status, topic, name),
        )
        if not group.old:
            _appears(found, group)
        elif not group.new:
            _removed(found, group)
        else:
            gained = sorted(group.new.keys() - group.old.keys())
            lost = sorted(group.old.keys() - group.new.keys())
            found.before(gained, lost, f"it takes over {topic} for the group {name}")
            _payloads(found, group, sides)
    _outbox(found, sides, status)


def _publishers(manifests: Mapping[str, Manifest], topic: str) -> list[str]:
    return sorted(name for name, manifest in manifests.items() if topic in manifest.publishes)


def _unread(status: FleetStatus | None, topic: str, group: str) -> int | None:
    if status is None:
        return None
    return next(
        (each.records for each in status.unread if (each.topic, each.group) == (topic, group)),
        0,
    )


def _appears(found: Rules, group: Group) -> None:
    """A group without offsets begins with the oldest event of its topic."""
    topic, name = group.topic, group.name
    found.before(
        group.new,
        group.publishers_new,
        f"it has the handlers of the group {name} for the topic {topic}",
    )
    if group.publishers_old:
        found.warning(
            "new-group",
            group.who,
            f"the group {name} is new on {topic}, which has old events: it begins with the"
            " oldest event that is kept",
            expected="a handler that accepts old events",
            got="a group without offsets",
            fix="nothing, if this is intended; a renamed group reads everything again",
        )


def _removed(found: Rules, group: Group) -> None:
    """No handler reads the topic for the group any more: unread events stay unread."""
    topic, name = group.topic, group.name
    # If some deployments still publish, the wait cannot come after the last publisher.
    first = [] if group.publishers_new else group.publishers_old
    found.drain(
        f"events of {topic} for {name}",
        group.unread,
        first,
        group.old,
        f"the group {name} does not read {topic} any more",
    )
    if group.unread is None:
        found.warning(
            "backlog-unknown",
            group.who,
            f"the group {name} is removed; it is unknown how many events of {topic} are unread",
            expected="none unread",
            got="unknown",
            fix="plan with --connect, or against live",
        )
    elif group.unread:
        unread = count(group.unread, "event")
        found.error(
            "backlog",
            group.who,
            f"the group {name} is removed with {unread} of {topic} unread",
            expected="none unread",
            got=unread,
            fix="let it read them first; or, if they may stay unread, plan with"
            f' --accept "group {name}"',
        )


def _payloads(found: Rules, group: Group, sides: Sides) -> None:
    """Compare the payloads: new handlers meet old events, and old handlers meet new events."""
    topic = group.topic
    before, after = next(iter(group.old.values())), next(iter(group.new.values()))
    written_before = _written(sides.old, topic, before)
    written_after = _written(sides.new, topic, after)
    if before.payload == after.payload and written_before == written_after:
        return
    forwards = conflicts(after.payload or {}, written_before)
    backwards = conflicts(before.payload or {}, written_after)
    if forwards:
        note = found.warning if group.unread == 0 else found.error
        unread = group.unread
        note(
            "payload-incompatible",
            group.who,
            f"the new handler {after.name} refuses events of {topic} from old processes:"
            f" {'; '.join(forwards)}",
            expected="a type that accepts events of the old version",
            got="unknown" if unread is None else f"{count(unread, 'event')} unread",
            fix="let the handler accept both forms until the old events are read",
        )
    elif backwards:
        why = f"its handler of {topic} knows the new payload"
        found.before(sorted(group.new), group.publishers_new, why)


def _written(
    manifests: Mapping[str, Manifest], topic: str, handler: HandlerEntry
) -> dict[str, Any]:
    """Return the schema of published payloads; default: the schema of the handler."""
    declared = (each.payloads[topic] for each in manifests.values() if topic in each.payloads)
    return next(declared, handler.payload or {})


def _outbox(found: Rules, sides: Sides, status: FleetStatus | None) -> None:
    if status is None or not status.outbox:
        return
    if any(manifest.relays for manifest in sides.new.values()):
        return
    topics = ", ".join(each.topic for each in status.outbox)
    left = count(sum(each.events for each in status.outbox), "event")
    found.error(
        "backlog",
        "outbox",
        f"no process will relay the outbox any more, and {left} of {topics} wait in it",
        expected="an empty outbox",
        got=left,
        fix="let the old version relay them first (rolehost fleet status)",
    )
