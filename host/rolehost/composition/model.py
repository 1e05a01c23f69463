"""The composition: the checked, immutable result of a deployment and its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Authentication,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Extension,
    Middleware,
    Migrations,
    PluginInfo,
    Role,
    Route,
    Schedule,
)
from rolehost.api.executions import JobMiddleware
from rolehost.api.handlers import Handler
from rolehost.api.metrics import Metric
from rolehost.deployment.model import Deployment
from rolehost.errors import Problem
from rolehost.storage import Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One enabled plugin: its decoded settings or None; ``module`` is the object with its hooks."""

    name: str
    distribution: str
    version: str
    info: PluginInfo
    settings: Any
    module: Any


@dataclass(frozen=True, slots=True)
class Owned(Generic[T]):
    """A contribution, its plugin's name, and its source location: ``module:line``, if known."""

    value: T
    plugin: str
    location: str


@dataclass(slots=True)
class Contributions:
    """All contributions of the enabled plugins, by class, in the order of plugins."""

    by_class: dict[type[Any], list[Owned[Any]]] = field(default_factory=dict)

    def of(self, kind: type[Any]) -> tuple[Owned[Any], ...]:
        """Return the contributions of one class."""
        return tuple(self.by_class.get(kind, ()))

    def add(self, owned: Owned[Any]) -> None:
        """Add one contribution, under its class; an actor also under each of its aliases."""
        found = self.by_class.setdefault(type(owned.value), [])
        found.append(owned)
        if isinstance(owned.value, Actor):
            for alias in owned.value.aliases:
                found.append(replace(owned, value=replace(owned.value, name=alias, aliases=())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A plugin that failed and is left out; its routes, if they could be declared, answer 503."""

    name: str
    distribution: str
    version: str
    why: tuple[Problem, ...]
    routes: tuple[Owned[Route], ...] = ()

    @property
    def reason(self) -> str:
        """The problems in one line: for logs, listings and probes."""
        return "; ".join(f"{each.code}: {each.what} ({each.where})" for each in self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Everything a process needs to know. Contributions are in the order of the plugins.

    Attributes:
        plugins: enabled plugins in the order of their dependencies, without the degraded ones.
        backends: storage kind → the chosen backend, for each kind that is needed.
        roles: the roles that the contributions need, in the order of ``ROLES``.
        authentications: by the name of the plugin.
        extensions: the items of each extension point of the enabled plugins, by hook.
        warnings: problems that do not prevent the start, sorted.
    """

    deployment: Deployment
    plugins: tuple[Plugin, ...]
    backends: Mapping[Kind, Owned[Backend]]
    migrations: tuple[Owned[Migrations], ...]
    routes: tuple[Owned[Route], ...]
    error_formats: tuple[Owned[ErrorFormat], ...]
    middleware: tuple[Owned[Middleware], ...]
    actors: Mapping[str, Owned[Actor]]
    handlers: tuple[Owned[Handler], ...]
    job_middleware: tuple[Owned[JobMiddleware], ...]
    schedules: tuple[Owned[Schedule], ...]
    checks: tuple[Owned[Check], ...]
    commands: tuple[Owned[Command], ...]
    roles: tuple[Role, ...]
    authentications: Mapping[str, Owned[Authentication]] = field(default_factory=dict)
    extensions: Mapping[str, tuple[Extension[Any], ...]] = field(default_factory=dict)
    metrics: Mapping[str, Owned[Metric]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    degraded: tuple[Degraded, ...] = ()

    def extensions_of(self, plugin: str) -> Mapping[str, tuple[Extension[Any], ...]]:
        """Return the items of the extension points of one enabled plugin, by hook."""
        points = self.plugin(plugin).info.extension_points
        return {point.hook: self.extensions.get(point.hook, ()) for point in points}

    @property
    def enqueues(self) -> frozenset[str]:
        """Names of all actors in ``enqueues`` of the enabled plugins."""
        return frozenset(name for plugin in self.plugins for name in plugin.info.enqueues)

    @property
    def publishes(self) -> frozenset[str]:
        """All topics in ``publishes`` of the enabled plugins."""
        return frozenset(topic for plugin in self.plugins for topic in plugin.info.publishes)

    def enqueuers(self, actor: str) -> list[str]:
        """Return the names of the plugins that enqueue an actor, sorted."""
        return sorted(each.name for each in self.plugins if actor in each.info.enqueues)

    def publishers(self, topic: str) -> list[str]:
        """Return the names of the plugins that publish to a topic, sorted."""
        return sorted(each.name for each in self.plugins if topic in each.info.publishes)

    @property
    def roles_run(self) -> tuple[Role, ...]:
        """The roles that instances of the deployment run: ``[fleet] roles``, by default all."""
        chosen = self.deployment.host.fleet.roles
        return self.roles if chosen is None else tuple(r for r in self.roles if r in chosen)

    @property
    def schema_sets(self) -> tuple[tuple[str, str], ...]:
        """Pairs of owner and package of the migrations, in the order of plugins; no duplicates."""
        return tuple(
            dict.fromkeys(
                (owned.value.owner or owned.plugin, owned.value.package)
                for owned in self.migrations
            )
        )

    def without(self, failed: Degraded, *, backends: bool = True) -> Composition:
        """Return the composition without the contributions of a plugin that did not start.

        Its routes answer 503. Its migrations and its items in extension points of other plugins
        stay. Its backends stay unless they failed (``backends`` is False).
        """
        kept: dict[str, Any] = {}
        for name in (
            "routes", "error_formats", "middleware", "handlers", "job_middleware", "schedules",
            "checks", "commands",
        ):  # fmt: skip
            contributions = getattr(self, name)
            kept[name] = tuple(owned for owned in contributions if owned.plugin != failed.name)
        for name in ("actors", "authentications", "metrics", *(() if backends else ("backends",))):
            kept[name] = MappingProxyType(
                {
                    key: owned
                    for key, owned in getattr(self, name).items()
                    if owned.plugin != failed.name
                }
            )
        routes = tuple(owned for owned in self.routes if owned.plugin == failed.name)
        return replace(
            self,
            plugins=tuple(plugin for plugin in self.plugins if plugin.name != failed.name),
            degraded=(*self.degraded, replace(failed, routes=routes)),
            **kept,
        )

    def plugin(self, name: str) -> Plugin:
        """Return an enabled plugin by name, or raise LookupError."""
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        raise LookupError(f"no enabled plugin is named {name!r}")
