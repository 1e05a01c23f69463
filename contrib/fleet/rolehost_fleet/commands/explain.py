"""The facts about a subject that is on, for ``rolehost why``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Backend,
    Check,
    Command,
    Middleware,
    Migrations,
    Route,
    Schedule,
)
from rolehost.api.handlers import Handler
from rolehost.cli.listings import extends, values
from rolehost.composition import Composition, Owned, responders
from rolehost.composition.topology import actor_of, when

#: Label and text, in the order in which they are shown.
Facts = list[tuple[str, str]]


def _no_facts(_composition: Composition, _contribution: Any) -> Facts:
    return []


class Kind(NamedTuple):
    """A kind of contribution.

    Attributes:
        type: its class.
        name: returns the name of a contribution in ``KIND:NAME``.
        of: returns the contributions of a composition; of backends the chosen ones.
        facts: returns additional facts about a contribution.
    """

    type: type[Any]
    name: Callable[[Any], str]
    of: Callable[[Composition], Iterable[Owned[Any]]]
    facts: Callable[[Composition, Any], Facts] = _no_facts


def _route(_composition: Composition, route: Route) -> Facts:
    return [("answers", ", ".join(sorted(responders(route))))]


def _actor(composition: Composition, actor: Actor) -> Facts:
    facts = [("queue", actor.queue), *_enqueuers(composition, actor.name)]
    facts += [
        ("scheduled by", f"schedule {item.value.name} ({when(item.value)}) of {item.plugin}")
        for item in composition.schedules
        if actor_of(item.value) == actor.name
    ]
    queues = composition.deployment.host.worker.queues
    if queues is not None and actor.queue not in queues:
        return [*facts, ("not consumed here", f"[worker] queues leaves {actor.queue} out")]
    return [*facts, ("consumed by", "the worker role of this deployment")]


def _handler(composition: Composition, handler: Handler) -> Facts:
    publishers = _publishers(composition, handler.topic)
    return [
        ("topic", handler.topic),
        ("group", handler.group),
        *(publishers or [("published by", "no plugin of this deployment")]),
    ]


def _schedule(composition: Composition, schedule: Schedule) -> Facts:
    name = actor_of(schedule)
    here = composition.actors.get(name)
    worked = f"plugin {here.plugin}, here" if here else "another deployment"
    return [("ticks", when(schedule)), ("enqueues", name), ("consumed by", worked)]


def _backend(composition: Composition, backend: Backend) -> Facts:
    line = composition.deployment.origins[f"storage.{backend.kind}"].text
    chosen = "the only one offered" if line == "default" else line
    capabilities = ", ".join(sorted(backend.capabilities))
    return [("kind", backend.kind), ("chosen at", chosen), ("capabilities", capabilities)]


_name = attrgetter("name")

#: The kinds of contributions that have a name.
CONTRIBUTIONS: Mapping[str, Kind] = {
    "route": Kind(Route, attrgetter("path"), lambda each: each.routes, _route),
    "actor": Kind(Actor, _name, lambda each: each.actors.values(), _actor),
    "handler": Kind(Handler, _name, lambda each: each.handlers, _handler),
    "schedule": Kind(Schedule, _name, lambda each: each.schedules, _schedule),
    "backend": Kind(Backend, _name, lambda each: each.backends.values(), _backend),
    "check": Kind(Check, _name, lambda each: each.checks),
    "command": Kind(Command, _name, lambda each: each.commands),
    "middleware": Kind(Middleware, _name, lambda each: each.middleware),
    "migrations": Kind(Migrations, attrgetter("package"), lambda each: each.migrations),
}

#: Role → the kind of contribution that needs it.
MADE_BY = {"http": "route", "worker": "actor", "consumer": "handler", "scheduler": "schedule"}


def explain(composition: Composition, kind: str, name: str) -> Facts | None:
    """Return the facts of a subject that is on in this composition, or None.

    Args:
        kind: one of :data:`KINDS`.
        name: name of the subject: for a setting ``section.key``, for a route the path, for a metric
            any of its names at ``/metrics``.
    """
    if kind in _OTHERS:
        return _OTHERS[kind](composition, name) or None
    found = CONTRIBUTIONS[kind]
    facts: Facts = []
    for owned in found.of(composition):
        if found.name(owned.value) == name:
            facts += provided(composition, owned) + found.facts(composition, owned.value)
    if kind == "actor" and not facts and name in composition.enqueues:
        return [*_enqueuers(composition, name), ("consumed by", "another deployment")]
    return facts or None


def provided(composition: Composition, owned: Owned[Any]) -> Facts:
    """Return which plugin has a contribution, the line that enables it, and its location."""
    return [*origin(composition, owned.plugin), ("written at", owned.location)]


def origin(composition: Composition, name: str) -> Facts:
    """Return the distribution of a plugin, and the line that enables it."""
    plugin = composition.plugin(name)
    line = composition.deployment.origins.get(f"plugins.{name}")
    return [
        ("contributed by", f"plugin {name} ({plugin.distribution} {plugin.version})"),
        ("enabled at", line.text if line else "in code"),
    ]


def _plugin(composition: Composition, name: str) -> Facts:
    plugin = next((item for item in composition.plugins if item.name == name), None)
    if plugin is None:
        return []
    info = plugin.info
    needed_by = [item.name for item in composition.plugins if name in item.info.depends]
    contributed = [
        f"{label} {kind.name(owned.value)}"
        for label, kind in CONTRIBUTIONS.items()
        for owned in kind.of(composition)
        if owned.plugin == name
    ]
    metrics = composition.metrics.values()
    contributed += [f"metric {owned.value.name}" for owned in metrics if owned.plugin == name]
    offers = [f"extension point {each.hook}: {each.summary}" for each in info.extension_points]
    return [
        *origin(composition, name),
        *([("summary", info.summary)] if info.summary else []),
        *([("depends on", ", ".join(info.depends))] if info.depends else []),
        *([("needed by", ", ".join(needed_by))] if needed_by else []),
        *(("contributes", item) for item in contributed),
        *(("offers", item) for item in offers),
        *(("extends", item) for item in extends(composition, name)),
        *(("enqueues", item) for item in info.enqueues),
        *(("publishes to", item) for item in info.publishes),
    ]


def _metric(composition: Composition, name: str) -> Facts:
    for owned in composition.metrics.values():
        metric = owned.value
        if name in metric.series:
            return [
                *provided(composition, owned),
                ("kind", metric.kind),
                *([("labels", ", ".join(metric.labels))] if metric.labels else []),
                ("summary", metric.summary),
            ]
    return []


def _extension(composition: Composition, hook: str) -> Facts:
    for plugin in composition.plugins:
        for point in plugin.info.extension_points:
            if point.hook == hook:
                classes = " or ".join(each.__name__ for each in point.classes)
                implementations = [
                    ("implemented by", f"{each.who} at {each.location}")
                    for each in composition.extensions.get(hook, ())
                ]
                return [
                    *origin(composition, plugin.name),
                    ("summary", point.summary),
                    ("takes", classes),
                    *(implementations or [("implemented by", "no enabled plugin")]),
                ]
    return []


def _topic(composition: Composition, name: str) -> Facts:
    consumers = [
        ("consumed by", f"handler {item.value.name} in group {item.value.group} of {item.plugin}")
        for item in composition.handlers
        if item.value.topic == name
    ]
    return [*_publishers(composition, name), *consumers]


def _setting(composition: Composition, name: str) -> Facts:
    row = next((row for row in values(composition) if row["key"] == name), None)
    return [] if row is None else [("value", str(row["value"])), ("set by", row["origin"])]


def _role(composition: Composition, name: str) -> Facts:
    if name not in composition.roles:
        return []
    kind = MADE_BY[name]
    owners = sorted({owned.plugin for owned in CONTRIBUTIONS[kind].of(composition)})
    return [("because of", f"{kind}s of plugin {owner}") for owner in owners]


def _enqueuers(composition: Composition, actor: str) -> Facts:
    return [("enqueued by", f"plugin {name}") for name in composition.enqueuers(actor)]


def _publishers(composition: Composition, topic: str) -> Facts:
    return [("published by", f"plugin {name}") for name in composition.publishers(topic)]


_OTHERS: Mapping[str, Callable[[Composition, str], Facts]] = {
    "plugin": _plugin,
    "metric": _metric,
    "extension": _extension,
    "topic": _topic,
    "setting": _setting,
    "role": _role,
}

#: All kinds of ``rolehost why``.
KINDS = ("plugin", *CONTRIBUTIONS, "metric", "extension", "topic", "setting", "role")
