"""Collecting what is wrong, or worth a look, in how deployments fit together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rolehost.composition import in_order
from rolehost.errors import Problem

from rolehost_fleet.model import FleetMember, who


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check of a fleet found.

    Attributes:
        mistakes: what would lose, delay for ever or break something.
        warnings: what works and may not be meant.
    """

    mistakes: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Notes:
    """Findings while they are collected."""

    mistakes: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def mistake(
        self,
        code: str,
        members: Iterable[FleetMember],
        where: Iterable[str],
        what: str,
        **words: str,
    ) -> None:
        """Note a mistake.

        Args:
            code: kebab-case name of the kind of mistake.
            members: whose it is; nobody: the fleet's.
            where: sites.
            what: one sentence.
            words: ``expected``, ``got``, ``fix``.
        """
        self.mistakes.append(_problem(code, members, where, what, words))

    def warning(
        self,
        code: str,
        members: Iterable[FleetMember],
        where: Iterable[str],
        what: str,
        **words: str,
    ) -> None:
        """Note a warning; parameters as of :meth:`mistake`."""
        self.warnings.append(_problem(code, members, where, what, words))

    def findings(self) -> Findings:
        """Return everything once, in an order that never depends on chance."""
        return Findings(in_order(self.mistakes), in_order(self.warnings))


def _problem(
    code: str,
    members: Iterable[FleetMember],
    where: Iterable[str],
    what: str,
    words: dict[str, str],
) -> Problem:
    concerned = tuple(dict.fromkeys(members))
    found = Problem(
        code=code,
        who=who(concerned) if concerned else "the fleet",
        where="; ".join(dict.fromkeys(where)) or "the fleet",
        what=what,
        expected=words["expected"],
        got=words["got"],
        fix=words["fix"],
    )
    for member in concerned:
        (found,) = member.deployment.discreet([found])
    return found
