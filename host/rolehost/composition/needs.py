"""Which storage a composition needs, of what ability, and because of what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rolehost.api.contributions import Actor, Handler, Migrations, Route, Schedule
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Composition, Owned, Plugin
from rolehost.composition.report import Report
from rolehost.storage import CAPABILITIES, KINDS, Kind
from rolehost.suggest import did_you_mean, one_of

_REQUIREMENT = re.compile(r"([A-Za-z0-9_-]+)(?:\[([^\[\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Need:
    """One reason to have a storage kind.

    Attributes:
        kind: the kind.
        plugin: whose need it is; empty when the deployment itself asks.
        why: where it is said: a contribution, or the ``requires`` of a plugin.
        capabilities: what the backend must declare.
    """

    kind: Kind
    plugin: str
    why: str
    capabilities: frozenset[str] = frozenset()


def needs(
    plugins: Sequence[Plugin], contributions: Contributions, report: Report
) -> tuple[Need, ...]:
    """Return every need; requirements that cannot be read go to the report."""
    found: list[Need] = []
    for plugin in plugins:
        for text in plugin.info.requires:
            need = _parsed(plugin, text, report)
            if need is not None:
                found.append(need)
        found.extend(_declared(plugin))
    found.extend(_contributed(contributions))
    for kind in KINDS:
        if getattr(report.deployment.host.storage, kind) is not None:
            found.append(Need(kind, "", f"[storage] {kind}"))
    return tuple(found)


def needing(composition: Composition, kinds: Collection[Kind]) -> dict[str, str]:
    """Return the plugins that need storage of these kinds, each with what for."""
    given: tuple[Owned[Any], ...] = (
        *composition.actors.values(),
        *composition.handlers,
        *composition.schedules,
        *composition.migrations,
        *composition.routes,
    )
    contributions = Contributions()
    for owned in given:
        contributions.add(owned)
    found = needs(composition.plugins, contributions, Report(composition.deployment))
    return {need.plugin: need.why for need in found if need.kind in kinds and need.plugin}


def _declared(plugin: Plugin) -> Iterator[Need]:
    for name in plugin.info.enqueues:
        yield Need("database", plugin.name, f"enqueues {name}")
        yield Need("queue", plugin.name, f"enqueues {name}")
    for topic in plugin.info.publishes:
        yield Need("database", plugin.name, f"publishes to {topic}")
        yield Need("stream", plugin.name, f"publishes to {topic}")


def _contributed(contributions: Contributions) -> Iterator[Need]:
    for actor in contributions.of(Actor):
        ability = frozenset() if actor.value.durable else frozenset({"ephemeral"})
        yield Need("queue", actor.plugin, f"actor {actor.value.name}", ability)
        if actor.value.durable:
            yield Need("database", actor.plugin, f"actor {actor.value.name}")
    for handler in contributions.of(Handler):
        why = f"handler {handler.value.name}"
        yield Need("database", handler.plugin, why)
        yield Need("stream", handler.plugin, why, frozenset({"consumer-groups"}))
    for schedule in contributions.of(Schedule):
        yield Need("database", schedule.plugin, f"schedule {schedule.value.name}")
        yield Need("queue", schedule.plugin, f"schedule {schedule.value.name}")
    for migrations in contributions.of(Migrations):
        yield Need("database", migrations.plugin, f"migrations {migrations.value.package}")
    for route in contributions.of(Route):
        if route.value.idempotent:
            yield Need("database", route.plugin, f"idempotent route {route.value.path}")


def _parsed(plugin: Plugin, text: str, report: Report) -> Need | None:
    match = _REQUIREMENT.fullmatch(text.strip())
    if match is None:
        _unreadable(plugin, text, "kind or kind[capability,…]", f"write {KINDS[0]}[…]", report)
        return None
    name, inside = match.groups()
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        fix = did_you_mean(name, KINDS) or "name one of the four kinds"
        _unreadable(plugin, text, f"one of {', '.join(KINDS)}", fix, report)
        return None
    asked = {word.strip() for word in (inside or "").split(",") if word.strip()}
    known = CAPABILITIES[kind]
    for word in sorted(asked - known.keys()):
        fix = did_you_mean(word, known) or "name one of these capabilities"
        _unreadable(plugin, text, f"a capability of {kind}: {one_of(known)}", fix, report)
    return Need(kind, plugin.name, f"requires {text}", frozenset(asked & known.keys()))


def _unreadable(plugin: Plugin, text: str, expected: str, fix: str, report: Report) -> None:
    report.add(
        "invalid-requirement",
        f"requires of plugin {plugin.name}",
        f"the requirement {text!r} is not understood",
        who=report.whose([plugin.name]),
        expected=expected,
        got=text,
        fix=fix,
    )
