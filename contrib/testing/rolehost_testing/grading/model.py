"""Levels, criteria and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["bronze", "silver", "gold"]

#: From lowest to highest; a plugin has a level if it meets all criteria up to this level.
LEVELS: tuple[Level, ...] = ("bronze", "silver", "gold")

#: ``met``; ``unmet``; ``none``: not applicable, which counts as met; ``open``: not checked, and
#: ``detail`` says how to check it.
State = Literal["met", "unmet", "none", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One requirement for plugins.

    Attributes:
        name: kebab-case, for listings and ``--json``.
        level: the level that it belongs to.
        what: the requirement, as a statement.
        advice: how to meet it.
        optional: whether the plugin can get the level while this criterion is ``open``.
    """

    name: str
    level: Level
    what: str
    advice: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result for one criterion.

    Attributes:
        criterion: the criterion.
        state: its state.
        detail: the observations, with files and lines; may be empty if it is met.
    """

    criterion: Criterion
    state: State
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether the plugin can get the level with this finding."""
        return self.state in ("met", "none") or (self.state == "open" and self.criterion.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one plugin.

    Attributes:
        plugin: name of the plugin.
        distribution: the package that contains it.
        version: version of the package.
        findings: one for each criterion, in the order of levels.
    """

    plugin: str
    distribution: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level | None:
        """The highest level that it has; None if it does not meet the lowest."""
        reached: Level | None = None
        for level in LEVELS:
            if not all(each.holds for each in self.findings if each.criterion.level == level):
                break
            reached = level
        return reached

    @property
    def wanting(self) -> tuple[Finding, ...]:
        """The findings that prevent the highest level."""
        return tuple(each for each in self.findings if not each.holds)
