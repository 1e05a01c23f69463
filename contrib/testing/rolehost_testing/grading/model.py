"""Levels, criteria, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["bronze", "silver", "gold"]

#: From the lowest; a plugin has a level when it meets every criterion of it and of those below.
LEVELS: tuple[Level, ...] = ("bronze", "silver", "gold")

#: ``met``; ``unmet``; ``none``: it has nothing of the kind, which counts as met; ``open``: it
#: was not looked at, for which ``detail`` says what would.
State = Literal["met", "unmet", "none", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One thing that is asked of a plugin.

    Attributes:
        name: kebab-case, for listings and ``--json``.
        level: the level that it belongs to.
        what: what is asked, as a statement that holds.
        advice: what to do to get it.
        optional: it may stay open without keeping the level from the plugin.
    """

    name: str
    level: Level
    what: str
    advice: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about one criterion.

    Attributes:
        criterion: which.
        state: how it stands.
        detail: what was seen, with files and lines; may be empty when it is met.
    """

    criterion: Criterion
    state: State
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether it keeps no level from the plugin."""
        return self.state in ("met", "none") or (self.state == "open" and self.criterion.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How one plugin does.

    Attributes:
        plugin: its name.
        distribution: the package that ships it.
        version: that package's version.
        findings: one for each criterion, in the order of levels.
    """

    plugin: str
    distribution: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level | None:
        """The highest level that it has; None when it lacks something of the lowest."""
        reached: Level | None = None
        for level in LEVELS:
            if not all(each.holds for each in self.findings if each.criterion.level == level):
                break
            reached = level
        return reached

    @property
    def wanting(self) -> tuple[Finding, ...]:
        """What keeps it from the highest level."""
        return tuple(each for each in self.findings if not each.holds)
