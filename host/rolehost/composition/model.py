"""The composition: the checked, immutable result of a deployment and its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rolehost.api.contributions import (
    Actor,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Extension,
    Handler,
    Middleware,
    Migrations,
    PluginInfo,
    Role,
    Route,
    Schedule,
)
from rolehost.deployment.model import Deployment
from rolehost.errors import Problem
from rolehost.storage import Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One enabled plugin, loaded.

    Attributes:
        name: its entry point's name.
        distribution: the package that ships it.
        version: that package's version.
        info: what it says of itself.
        settings: its decoded section; None when it has no settings.
        module: the object whose functions are its hooks.
    """

    name: str
    distribution: str
    version: str
    info: PluginInfo
    settings: Any
    module: Any


@dataclass(frozen=True, slots=True)
class Owned(Generic[T]):
    """A contribution and whose it is.

    Attributes:
        value: the contribution.
        plugin: name of the plugin that gave it.
        site: where it was written, ``module:line``, as well as that can be told.
    """

    value: T
    plugin: str
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Everything a process needs to know, checked. Contributions keep the order of plugins.

    Attributes:
        deployment: what it was made of.
        plugins: enabled plugins in the order of their dependencies.
        backends: the chosen backend of each kind that something needs.
        roles: what the contributions make of it, in the order of ``ROLES``.
        extensions: what was given to each extension point of the enabled plugins, by hook.
        warnings: what works now and has to be changed, sorted.
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
    schedules: tuple[Owned[Schedule], ...]
    checks: tuple[Owned[Check], ...]
    commands: tuple[Owned[Command], ...]
    roles: tuple[Role, ...]
    extensions: Mapping[str, tuple[Extension[Any], ...]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def extensions_of(self, plugin: str) -> Mapping[str, tuple[Extension[Any], ...]]:
        """Return what was given to the extension points of one enabled plugin, by hook."""
        points = self.plugin(plugin).info.extension_points
        return {point.hook: self.extensions.get(point.hook, ()) for point in points}

    @property
    def enqueues(self) -> frozenset[str]:
        """Names of all actors that enabled plugins declare they enqueue."""
        return frozenset(name for plugin in self.plugins for name in plugin.info.enqueues)

    @property
    def publishes(self) -> frozenset[str]:
        """All topics that enabled plugins declare they publish to."""
        return frozenset(topic for plugin in self.plugins for topic in plugin.info.publishes)

    @property
    def schema_sets(self) -> tuple[tuple[str, str], ...]:
        """Owner and package of each set of the plugins' SQL files, each once, in their order."""
        return tuple(
            dict.fromkeys(
                (owned.value.owner or owned.plugin, owned.value.package)
                for owned in self.migrations
            )
        )

    def plugin(self, name: str) -> Plugin:
        """Return an enabled plugin by name.

        Raises:
            LookupError: no enabled plugin has this name.
        """
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        raise LookupError(f"no enabled plugin is named {name!r}")
