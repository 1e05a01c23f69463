"""What ``rolehost why`` says: one function for each kind of subject.

Each returns the facts of a subject that is on, or None when it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rolehost.api.contributions import (
    Actor,
    Backend,
    Check,
    Command,
    Handler,
    Middleware,
    Migrations,
    Route,
    Schedule,
)
from rolehost.cli.schedules import actor_of, when
from rolehost.cli.settings import values
from rolehost.composition import Composition, Owned, responders

#: Label and text, in the order in which they are shown.
Facts = list[tuple[str, str]]

#: How a contribution is named in ``KIND:NAME``: kind → its class and its name.
NAMED: Mapping[str, tuple[type[Any], Callable[[Any], str]]] = {
    "route": (Route, lambda item: item.path),
    "actor": (Actor, lambda item: item.name),
    "handler": (Handler, lambda item: item.name),
    "schedule": (Schedule, lambda item: item.name),
    "backend": (Backend, lambda item: item.name),
    "check": (Check, lambda item: item.name),
    "command": (Command, lambda item: item.name),
    "middleware": (Middleware, lambda item: item.name),
    "migrations": (Migrations, lambda item: item.package),
}

#: What makes a deployment a role: role → kind of contribution.
MADE_BY: Mapping[str, str] = {
    "http": "route",
    "worker": "actor",
    "consumer": "handler",
    "scheduler": "schedule",
}

#: Every kind that ``why`` knows.
KINDS = ("plugin", *NAMED, "metric", "extension", "topic", "setting", "role")


def explain(composition: Composition, kind: str, name: str) -> Facts | None:
    """Return the facts of a subject that is on in this composition, or None.

    Args:
        kind: one of :data:`KINDS`.
        name: its name; ``section.key`` of a setting, the path of a route; a metric's is any name
            that it has at ``/metrics``.
    """
    if kind == "plugin":
        return _plugin(composition, name)
    if kind == "metric":
        return _metric(composition, name)
    if kind == "extension":
        return _extension(composition, name)
    if kind == "topic":
        return _topic(composition, name)
    if kind == "setting":
        return _setting(composition, name)
    if kind == "role":
        return _role(composition, name)
    name_of = NAMED[kind][1]
    found = [owned for owned in contributed(composition, kind) if name_of(owned.value) == name]
    facts: Facts = []
    for owned in found:
        facts += provided(composition, owned) + _EXTRA.get(kind, _nothing)(composition, owned.value)
    if kind == "actor" and not found and name in composition.enqueues:
        return [*_enqueuers(composition, name), ("worked by", "another deployment")]
    return facts or None


def contributed(composition: Composition, kind: str) -> Iterable[Owned[Any]]:
    """Return the contributions of one kind of :data:`NAMED`; of backends the chosen ones."""
    by_kind: dict[str, Iterable[Owned[Any]]] = {
        "route": composition.routes,
        "actor": composition.actors.values(),
        "handler": composition.handlers,
        "schedule": composition.schedules,
        "backend": composition.backends.values(),
        "check": composition.checks,
        "command": composition.commands,
        "middleware": composition.middleware,
        "migrations": composition.migrations,
    }
    return by_kind[kind]


def provided(composition: Composition, owned: Owned[Any]) -> Facts:
    """Say who gives a contribution, what enables it, and where it was written."""
    return [*origin(composition, owned.plugin), ("written at", owned.site)]


def origin(composition: Composition, name: str) -> Facts:
    """Say which distribution ships a plugin, and which line enables it."""
    plugin = composition.plugin(name)
    line = composition.deployment.origins.get(f"plugins.{name}")
    return [
        ("given by", f"plugin {name} ({plugin.distribution} {plugin.version})"),
        ("enabled at", line.text if line else "in code"),
    ]


def _plugin(composition: Composition, name: str) -> Facts | None:
    plugin = next((item for item in composition.plugins if item.name == name), None)
    if plugin is None:
        return None
    needed_by = [item.name for item in composition.plugins if name in item.info.depends]
    gives = [
        f"{kind} {naming(owned.value)}"
        for kind, (_, naming) in NAMED.items()
        for owned in contributed(composition, kind)
        if owned.plugin == name
    ]
    facts = origin(composition, name)
    facts += [("summary", plugin.info.summary)] if plugin.info.summary else []
    facts += [("depends on", ", ".join(plugin.info.depends))] if plugin.info.depends else []
    facts += [("needed by", ", ".join(needed_by))] if needed_by else []
    gives += [
        f"metric {owned.value.name}"
        for owned in composition.metrics.values()
        if owned.plugin == name
    ]
    facts += [("gives", item) for item in gives]
    facts += [
        ("offers", f"extension point {point.hook}: {point.summary}")
        for point in plugin.info.extension_points
    ]
    facts += [("extends", item) for item in extends(composition, name)]
    facts += [("enqueues", item) for item in plugin.info.enqueues]
    facts += [("publishes to", item) for item in plugin.info.publishes]
    return facts


def extends(composition: Composition, plugin: str) -> list[str]:
    """Return what a plugin gives to extension points: ``HOOK of plugin NAME``, sorted."""
    return sorted(
        f"{point.hook} of plugin {owner.name}"
        for owner in composition.plugins
        for point in owner.info.extension_points
        if any(each.plugin == plugin for each in composition.extensions.get(point.hook, ()))
    )


def _metric(composition: Composition, name: str) -> Facts | None:
    for owned in composition.metrics.values():
        metric = owned.value
        if name in metric.series:
            return [
                *provided(composition, owned),
                ("kind", metric.kind),
                *([("labels", ", ".join(metric.labels))] if metric.labels else []),
                ("summary", metric.summary),
            ]
    return None


def _extension(composition: Composition, hook: str) -> Facts | None:
    for plugin in composition.plugins:
        for point in plugin.info.extension_points:
            if point.hook == hook:
                classes = " or ".join(each.__name__ for each in point.classes)
                given = [
                    ("given to it", f"{each.who} at {each.site}")
                    for each in composition.extensions.get(hook, ())
                ]
                return [
                    *origin(composition, plugin.name),
                    ("summary", point.summary),
                    ("takes", classes),
                    *(given or [("given to it", "nothing by the enabled plugins")]),
                ]
    return None


def _topic(composition: Composition, name: str) -> Facts | None:
    facts: Facts = [
        ("published by", f"plugin {plugin.name}")
        for plugin in composition.plugins
        if name in plugin.info.publishes
    ]
    facts += [
        ("consumed by", f"handler {item.value.name} in group {item.value.group} of {item.plugin}")
        for item in composition.handlers
        if item.value.topic == name
    ]
    return facts or None


def _setting(composition: Composition, name: str) -> Facts | None:
    row = next((row for row in values(composition) if row["key"] == name), None)
    if row is None:
        return None
    return [("value", str(row["value"])), ("set by", row["origin"])]


def _role(composition: Composition, name: str) -> Facts | None:
    if name not in composition.roles:
        return None
    kind = MADE_BY[name]
    owners = sorted({owned.plugin for owned in contributed(composition, kind)})
    return [("because of", f"{kind}s of plugin {owner}") for owner in owners]


def _route(_composition: Composition, route: Route) -> Facts:
    return [("answers", ", ".join(sorted(responders(route))))]


def _actor(composition: Composition, actor: Actor) -> Facts:
    facts: Facts = [("queue", actor.queue), *_enqueuers(composition, actor.name)]
    facts += [
        ("scheduled by", f"schedule {item.value.name} ({when(item.value)}) of {item.plugin}")
        for item in composition.schedules
        if actor_of(item.value) == actor.name
    ]
    queues = composition.deployment.host.worker.queues
    if queues is not None and actor.queue not in queues:
        return [*facts, ("not worked here", f"[worker] queues leaves {actor.queue} out")]
    return [*facts, ("worked by", "the worker role of this deployment")]


def _enqueuers(composition: Composition, name: str) -> Facts:
    return [
        ("enqueued by", f"plugin {plugin.name}")
        for plugin in composition.plugins
        if name in plugin.info.enqueues
    ]


def _handler(composition: Composition, handler: Handler) -> Facts:
    publishers = [
        ("published by", f"plugin {plugin.name}")
        for plugin in composition.plugins
        if handler.topic in plugin.info.publishes
    ]
    return [
        ("topic", handler.topic),
        ("group", handler.group),
        *(publishers or [("published by", "nobody in this deployment")]),
    ]


def _schedule(composition: Composition, schedule: Schedule) -> Facts:
    name = actor_of(schedule)
    here = composition.actors.get(name)
    worked = f"plugin {here.plugin}, here" if here else "another deployment"
    return [("ticks", when(schedule)), ("enqueues", name), ("worked by", worked)]


def _backend(composition: Composition, backend: Backend) -> Facts:
    line = composition.deployment.origins[f"storage.{backend.kind}"].text
    chosen = "the only one offered" if line == "default" else line
    capabilities = ", ".join(sorted(backend.capabilities))
    return [("kind", backend.kind), ("chosen at", chosen), ("capabilities", capabilities)]


def _nothing(_composition: Composition, _contribution: Any) -> Facts:
    return []


_EXTRA: Mapping[str, Callable[[Composition, Any], Facts]] = {
    "route": _route,
    "actor": _actor,
    "handler": _handler,
    "schedule": _schedule,
    "backend": _backend,
}
