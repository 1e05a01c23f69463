"""Collect the constraints on a rollout, and its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rolehost.composition.manifest import Manifest
from rolehost.errors import Problem

from rolehost_fleet.ordering import Edge, drain_node, roll_node

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Rules:
    """Constraints on the order of a rollout, and problems.

    Attributes:
        edges: constraints on the order.
        drains: backlog that must become empty → its size now; None: unknown.
        errors: problems that forbid the rollout.
        warnings: risks.
    """

    edges: list[Edge] = field(default_factory=list)
    drains: dict[str, int | None] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def before(self, first: Iterable[str], then: Iterable[str], why: str) -> None:
        """Roll out some deployments before others; a deployment never waits for itself."""
        for one in first:
            self.edges += [
                Edge(roll_node(one), roll_node(other), why) for other in then if other != one
            ]

    def drain(
        self, what: str, left: int | None, first: Iterable[str], then: Iterable[str], why: str
    ) -> None:
        """Wait for an empty backlog after some deployments are rolled out and before others are.

        A deployment in both lists is rolled out when the backlog is empty.
        """
        node = drain_node(what)
        later = set(then)
        self.drains[what] = left
        self.edges += [Edge(roll_node(one), node, why) for one in first if one not in later]
        self.edges += [Edge(node, roll_node(other), why) for other in sorted(later)]

    def error(self, code: str, who: str, what: str, **words: str) -> None:
        """Add an error, which forbids the rollout."""
        self.errors.append(_problem(code, who, what, words))

    def warning(self, code: str, who: str, what: str, **words: str) -> None:
        """Add a warning."""
        self.warnings.append(_problem(code, who, what, words))


def _problem(code: str, who: str, what: str, words: dict[str, str]) -> Problem:
    words.setdefault("where", "old and new version")
    return Problem(code=code, who=who, what=what, **words)


def by_name(
    manifests: Mapping[str, Manifest], of: Callable[[Manifest], Mapping[K, V]]
) -> dict[K, dict[str, V]]:
    """Return the entries of several deployments: name → deployment → entry."""
    found: dict[K, dict[str, V]] = {}
    for deployment, manifest in manifests.items():
        for name, entry in of(manifest).items():
            found.setdefault(name, {})[deployment] = entry
    return found
