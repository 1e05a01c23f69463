"""The problems of one composition, as they are collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rolehost.composition.model import Degraded, Owned
from rolehost.deployment.model import Deployment
from rolehost.errors import Problem, Who
from rolehost.messages import problem

_DIGITS = re.compile(r"(\d+)")


@dataclass(slots=True)
class Problems:
    """Every problem found so far.

    The type of ``Problem.who`` says what failed. A :class:`~rolehost.errors.Who` means that its
    plugins failed, and the deployment may go on without them. Any other text, even if it names a
    plugin, means an error of the operator.

    Attributes:
        incomplete: some contributions are unknown, so missing ones are not reported.
        warnings: problems that do not keep the deployment from starting.
        owners: name of a loaded plugin → plugin, distribution and version.
        unknown: (plugin, hook) of hooks that failed, so that their result is unknown.
    """

    deployment: Deployment
    degraded: Mapping[str, Degraded] = field(default_factory=dict)
    incomplete: bool = False
    found: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    unknown: set[tuple[str, str]] = field(default_factory=set)

    @property
    def who(self) -> str:
        """The deployment, as messages name it."""
        path = self.deployment.path
        return f"deployment {path}" if path else "deployment (no file)"

    @property
    def partial(self) -> bool:
        """Whether contributions are unknown or left out, so missing ones are not reported."""
        return self.incomplete or bool(self.degraded)

    def whose(self, plugins: Iterable[str]) -> Who:
        """Return plugins with distribution and version, sorted, as messages name them."""
        names = sorted(set(plugins))
        return Who(", ".join(self.owners.get(name, f"plugin {name}") for name in names), names)

    def enabled_at(self, plugin: str) -> str:
        """Return where a plugin is enabled: ``file:line``, or the override that enables it."""
        origins = self.deployment.origins
        origin = origins.get(f"plugins.{plugin}") or origins.get("plugins")
        return origin.text if origin else self.who

    def at(self, key: str) -> str:
        """Return the source location of a setting, with its key."""
        origin = self.deployment.origins.get(key)
        return f"{origin.text}, {key}" if origin else f"default, {key}"

    def add(self, message: str, where: str, *, who: str = "", **values: Any) -> None:
        """Add a :func:`rolehost.messages.problem`; an empty ``who`` means the deployment."""
        self.found.append(problem(message, who=who or self.who, where=where, **values))

    def about(self, owned: Owned[Any] | Iterable[Owned[Any]], message: str, **values: Any) -> None:
        """Add a problem of contributions; it counts as a failure of their plugins."""
        several = [owned] if isinstance(owned, Owned) else list(owned)
        values.setdefault("where", "; ".join(each.location for each in several))
        self.add(message, who=self.whose(each.plugin for each in several), **values)

    def sorted(self) -> tuple[Problem, ...]:
        """Return all problems without duplicates, in a deterministic order."""
        return in_order(self.found)


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
