"""Collecting the mistakes of one composition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rolehost.composition.model import Degraded
from rolehost.deployment.model import Deployment
from rolehost.errors import Problem, Who

_DIGITS = re.compile(r"(\d+)")


@dataclass(slots=True)
class Report:
    """Every mistake found so far.

    Attributes:
        deployment: the deployment that is composed.
        problems: in the order they were found.
        incomplete: a plugin could not be read, so what it would have given is not missed.
        owners: name of a loaded plugin → plugin, distribution and version.
        warnings: what works now and has to be changed; keeps nothing from starting.
        settled: mistakes of the operator, for which no plugin is degraded.
        degraded: plugins that are left out, because they failed before.
        failed: name of a plugin and hook → that hook raised, or returned something wrong.
    """

    deployment: Deployment
    problems: list[Problem] = field(default_factory=list)
    incomplete: bool = False
    owners: dict[str, str] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    settled: set[Problem] = field(default_factory=set)
    degraded: Mapping[str, Degraded] = field(default_factory=dict)
    failed: set[tuple[str, str]] = field(default_factory=set)

    @property
    def partial(self) -> bool:
        """Whether some plugin gave nothing, so that what it would have given is not missed."""
        return self.incomplete or bool(self.degraded)

    @property
    def who(self) -> str:
        """The deployment, as messages name it."""
        path = self.deployment.path
        return f"deployment {path}" if path else "deployment (no file)"

    def whose(self, plugins: Iterable[str]) -> Who:
        """Return plugins with distribution and version, sorted, as messages name them."""
        names = sorted(set(plugins))
        return Who(", ".join(self.owners.get(name, f"plugin {name}") for name in names), names)

    def enabled_at(self, plugin: str) -> str:
        """Return where a plugin is enabled: ``file:line``, or what overrode it."""
        origins = self.deployment.origins
        origin = origins.get(f"plugins.{plugin}") or origins.get("plugins")
        return origin.text if origin else self.who

    def at(self, key: str) -> str:
        """Return where a setting stands, with its key."""
        origin = self.deployment.origins.get(key)
        return f"{origin.text}, {key}" if origin else f"default, {key}"

    def add(self, code: str, where: str, what: str, **words: str) -> None:
        """Note a mistake.

        Args:
            code: kebab-case name of the kind of mistake.
            where: the site.
            what: one sentence.
            words: ``expected``, ``got``, ``fix``; ``who`` when it is not the deployment.
        """
        words.setdefault("who", self.who)
        self.problems.append(Problem(code=code, where=where, what=what, **words))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note several mistakes."""
        self.problems.extend(problems)

    def sorted(self) -> tuple[Problem, ...]:
        """Return all mistakes once each, in an order that never depends on chance."""
        return in_order(self.problems)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems once each, by place; numbers in places count as numbers."""
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda item: (_natural(item.where), item.code, _natural(item.what)),
        )
    )


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(text)]
