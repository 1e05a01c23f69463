"""The facts about a subject in several deployments, for ``rolehost why``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rolehost.api.contributions import Role
from rolehost.composition import Owned
from rolehost.composition.topology import actor_of, when

from rolehost_fleet.commands.explain import Facts, explain, origin, provided
from rolehost_fleet.model import Fleet, FleetMember


def explain_fleet(fleet: Fleet, kind: str, name: str) -> Facts | None:
    """Return the facts of a subject, or None if it is off in every deployment of the fleet.

    Args:
        fleet: the deployments.
        kind: one of :data:`rolehost_fleet.commands.explain.KINDS`.
        name: see :func:`rolehost_fleet.commands.explain.explain`.
    """
    across = _ACROSS.get(kind)
    if across is None:
        return list(dict.fromkeys(_anything(fleet, kind, name))) or None
    by_label: dict[str, dict[str, None]] = {}
    for label, text in across(fleet, name):
        by_label.setdefault(label, {})[text] = None
    return [(label, text) for label, texts in by_label.items() for text in texts] or None


def _anything(fleet: Fleet, kind: str, name: str) -> Facts:
    """Return the facts that each deployment gives, and the deployments where it is off."""
    facts: Facts = []
    lacking = []
    for member in fleet.members:
        found = explain(member.composition, kind, name)
        if found is None:
            lacking.append(member.name)
            continue
        facts += [
            (label, f"{text}, in {member.name}" if label in _OF_DEPLOYMENT else text)
            for label, text in found
        ]
    if facts and lacking:
        facts.append(("off in", ", ".join(lacking)))
    return facts


#: Facts that can differ between deployments.
_OF_DEPLOYMENT = frozenset({"enabled at", "chosen at", "value", "set by", "because of"})


def _actor(fleet: Fleet, name: str) -> Facts:
    found: Facts = []
    for member in fleet.members:
        owned = member.composition.actors.get(name)
        if owned is not None:
            found += [*_given(member, owned), ("queue", owned.value.queue)]
    sent = [*_enqueuers(fleet, name), *_schedulers(fleet, name)]
    if not found and not sent:
        return []
    return [*found, *sent, *_workers(fleet, name)]


def _enqueuers(fleet: Fleet, actor: str) -> Facts:
    return [
        ("enqueued by", f"plugin {plugin.name} in {_at(member, plugin.name)}")
        for member in fleet.members
        for plugin in member.composition.plugins
        if actor in plugin.info.enqueues
    ]


def _schedulers(fleet: Fleet, actor: str) -> Facts:
    facts: Facts = []
    for member in fleet.members:
        for owned in member.composition.schedules:
            if actor_of(owned.value) == actor:
                words = f"schedule {owned.value.name} ({when(owned.value)}) in {member.name}"
                off = _role_off(member, "scheduler")
                facts.append(
                    ("not scheduled by", f"{words}: {off}") if off else ("scheduled by", words)
                )
    return facts


def _workers(fleet: Fleet, actor: str) -> Facts:
    working: Facts = []
    idle: Facts = []
    for member in fleet.members:
        owned = member.composition.actors.get(actor)
        if owned is None:
            continue
        off = _role_off(member, "worker")
        if not off and not member.takes_jobs_from(owned.value.queue):
            off = f"{member.at('worker.queues')} leaves {owned.value.queue} out"
        if off:
            idle.append(("not consumed by", f"{member.name}: {off}"))
        else:
            working.append(("consumed by", f"the role worker of {_at(member, owned.plugin)}"))
    if not working:
        working = [_nothing(fleet, "consumed by", f"actor:{actor}")]
    return [*working, *idle]


def _topic(fleet: Fleet, name: str) -> Facts:
    published: Facts = [
        ("published by", f"plugin {plugin.name} in {_at(member, plugin.name)}")
        for member in fleet.members
        for plugin in member.composition.plugins
        if name in plugin.info.publishes
    ]
    consumed: Facts = []
    for member in fleet.members:
        for owned in member.composition.handlers:
            if owned.value.topic != name:
                continue
            words = f"handler {owned.value.name} in the group {owned.value.group}"
            off = _role_off(member, "consumer")
            consumed.append(
                ("not consumed by", f"{words} of {member.name}: {off}")
                if off
                else ("consumed by", f"{words} of {_at(member, owned.plugin)}")
            )
    if not published and not consumed:
        return []
    if not any(label == "consumed by" for label, _ in consumed):
        consumed.append(_nothing(fleet, "consumed by", f"topic:{name}"))
    return [*(published or [_nothing(fleet, "published by", f"topic:{name}")]), *consumed]


def _handler(fleet: Fleet, name: str) -> Facts:
    facts: Facts = []
    topics = []
    for member in fleet.members:
        for owned in member.composition.handlers:
            if owned.value.name == name:
                facts += [*_given(member, owned), ("topic", owned.value.topic)]
                topics.append(owned.value.topic)
    for topic in dict.fromkeys(topics):
        facts += [
            fact
            for fact in _topic(fleet, topic)
            if fact[0] == "published by" or f"handler {name} " in fact[1]
        ]
    return facts


def _schedule(fleet: Fleet, name: str) -> Facts:
    facts: Facts = []
    actors = []
    for member in fleet.members:
        for owned in member.composition.schedules:
            if owned.value.name == name:
                actors.append(actor_of(owned.value))
                facts += [*_given(member, owned), ("ticks", when(owned.value))]
                off = _role_off(member, "scheduler")
                facts.append(
                    ("not ticked by", f"{member.name}: {off}")
                    if off
                    else ("ticked by", f"the role scheduler of {_at(member, owned.plugin)}")
                )
    for actor in dict.fromkeys(actors):
        facts += [("enqueues", actor), *_workers(fleet, actor)]
    return facts


def _plugin(fleet: Fleet, name: str) -> Facts:
    facts = _anything(fleet, "plugin", name)
    return [fact for fact in facts if fact[0] != "off in"] + [
        ("off in", f"{member.path or member.name}: it is not in plugins there")
        for member in fleet.members
        if facts and name not in member.deployment.plugins
    ]


def _given(member: FleetMember, owned: Owned[Any]) -> Facts:
    return [
        (label, f"{text}, in {member.name}" if label == "enabled at" else text)
        for label, text in provided(member.composition, owned)
    ]


def _at(member: FleetMember, plugin: str) -> str:
    """Return a deployment, and the line that enables a plugin there."""
    line = dict(origin(member.composition, plugin))["enabled at"]
    return f"{member.name} ({line})"


def _role_off(member: FleetMember, role: Role) -> str:
    """Return why a deployment runs no process of a role, or an empty text if it runs one."""
    if not member.replicas:
        return f"{member.at('fleet.replicas')} is 0"
    if role not in member.roles:
        return f"{member.at('fleet.roles')} leaves the role {role} out"
    return ""


def _nothing(fleet: Fleet, label: str, what: str) -> tuple[str, str]:
    if fleet.external(what):
        return label, "a program outside the fleet, by [fleet] external"
    return label, "no deployment here"


_ACROSS: Mapping[str, Callable[[Fleet, str], Facts]] = {
    "actor": _actor,
    "topic": _topic,
    "handler": _handler,
    "schedule": _schedule,
    "plugin": _plugin,
}
