"""Errors and warnings of the checks of a fleet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rolehost.composition import in_order
from rolehost.errors import Problem, SettingLocation

from rolehost_fleet.model import FleetMember, who


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a check of a fleet.

    Attributes:
        errors: work would be lost, never be done, or fail.
        warnings: it works, but it may not be intended.
    """

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Notes:
    """Findings while they are collected."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(
        self,
        code: str,
        members: Iterable[FleetMember],
        where: Iterable[str],
        what: str,
        **words: str,
    ) -> None:
        """Add an error.

        Args:
            code: error code, in kebab case.
            members: deployments that have the error; empty: the whole fleet.
            where: source locations.
            what: one sentence.
            words: ``expected``, ``got``, ``fix``.
        """
        self.errors.append(_problem(code, members, where, what, words))

    def warning(
        self,
        code: str,
        members: Iterable[FleetMember],
        where: Iterable[str],
        what: str,
        **words: str,
    ) -> None:
        """Add a warning; the parameters are the same as for :meth:`error`."""
        self.warnings.append(_problem(code, members, where, what, words))

    def findings(self) -> Findings:
        """Return every error and warning once, in a deterministic order."""
        return Findings(in_order(self.errors), in_order(self.warnings))


def _problem(
    code: str,
    members: Iterable[FleetMember],
    where: Iterable[str],
    what: str,
    words: dict[str, str],
) -> Problem:
    concerned, places = tuple(dict.fromkeys(members)), tuple(dict.fromkeys(where))
    settings = [key for place in places for key in getattr(place, "settings", ())]
    found = Problem(
        code=code,
        who=who(concerned) if concerned else "the fleet",
        where=SettingLocation("; ".join(places) or "the fleet", settings),
        what=what,
        expected=words["expected"],
        got=words["got"],
        fix=words["fix"],
    )
    for member in concerned:
        (found,) = member.deployment.redact([found])
    return found
