"""The problems of one composition, as they are collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rolehost.composition.model import Degraded, Owned
from rolehost.deployment.model import Deployment
from rolehost.errors import Problem, SettingLocation
from rolehost.messages import problem

_DIGITS = re.compile(r"(\d+)")


@dataclass(slots=True)
class Problems:
    """Every problem found so far.

    Attributes:
        degraded: plugins that are left out because they failed in an earlier attempt, by name.
        unknown_contributions: some contributions are unknown, so missing ones are not reported.
        failed: problem → plugins that caused it; the deployment may run without them. Every other
            problem is an error of the operator, even if it names a plugin.
        warnings: problems that do not prevent the start.
        owners: name of a plugin → text with plugin, distribution and version, for messages.
        unknown_results: (plugin, hook) of each hook whose contributions are unknown.
    """

    deployment: Deployment
    degraded: Mapping[str, Degraded] = field(default_factory=dict)
    unknown_contributions: bool = False
    found: list[Problem] = field(default_factory=list)
    failed: dict[Problem, tuple[str, ...]] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    unknown_results: set[tuple[str, str]] = field(default_factory=set)

    @property
    def deployment_name(self) -> str:
        """The deployment, as messages name it."""
        path = self.deployment.path
        return f"deployment {path}" if path else "deployment (no file)"

    @property
    def may_lack_contributions(self) -> bool:
        """Whether contributions are unknown or left out, so missing ones are not reported."""
        return self.unknown_contributions or bool(self.degraded)

    def named(self, plugins: Iterable[str]) -> str:
        """Return plugins with distribution and version, sorted, for messages."""
        return ", ".join(self.owners.get(name, f"plugin {name}") for name in sorted(set(plugins)))

    def enabled_at(self, plugin: str) -> str:
        """Return where a plugin is enabled: ``file:line``, or the override that enables it."""
        origins = self.deployment.origins
        origin = origins.get(f"plugins.{plugin}") or origins.get("plugins")
        return origin.text if origin else self.deployment_name

    def at(self, key: str) -> SettingLocation:
        """Return the source location of a setting, with its key."""
        origin = self.deployment.origins.get(key)
        return SettingLocation(f"{origin.text if origin else 'default'}, {key}", [key])

    def add(
        self, message: str, where: str, *, who: str = "", failed: Iterable[str] = (), **values: Any
    ) -> None:
        """Add a :func:`rolehost.messages.problem`.

        Args:
            message: a table of ``messages.toml``.
            where: location of the problem.
            who: plugins or deployment; empty: the failed plugins, or else the deployment.
            failed: plugins that caused the problem; empty: it is an error of the operator.
            values: values of the message.
        """
        plugins = tuple(failed)
        who = who or self.named(plugins) or self.deployment_name
        added = problem(message, who=who, where=where, **values)
        self.found.append(added)
        if plugins:
            self.failed[added] = plugins

    def add_raised(self, plugin: str, raised: Iterable[Problem]) -> None:
        """Add problems that a plugin raised; a plugin that a ``who`` names has failed."""
        names = {who: name for name, who in self.owners.items()}
        for each in raised:
            own = each.who == f"plugin {plugin}"
            added = replace(each, who=self.owners[plugin]) if own else each
            self.found.append(added)
            if added.who in names:
                self.failed[added] = (names[added.who],)

    def about(self, owned: Owned[Any] | Iterable[Owned[Any]], message: str, **values: Any) -> None:
        """Add a problem of contributions; it counts as a failure of their plugins."""
        several = [owned] if isinstance(owned, Owned) else list(owned)
        values.setdefault("where", "; ".join(each.location for each in several))
        self.add(message, failed={each.plugin for each in several}, **values)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems without duplicates, in natural sort order of their source locations."""
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda item: (_natural(item.where), item.code, _natural(item.what)),
        )
    )


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(text)]
