"""What every proof is handed, and how it says that it cannot run here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

#: The root of the repository.
ROOT = Path(__file__).resolve().parents[2]

#: Where ``scripts/fixtures.sh`` puts test material that is not ours to keep in the tree.
FIXTURES = ROOT / ".cache" / "fixtures"


class Unavailable(Exception):
    """Something that the proof needs is not on this machine; the message says how to get it.

    A laptop skips the proof then; with ``CI=true`` it counts as a failure.
    """


class Task(Protocol):
    """One line of the progress display."""

    def advance(self, steps: float = 1) -> None:
        """Move on by so many steps."""

    def relabel(self, label: str) -> None:
        """Say something else beside the bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a proof is asked to run.

    Attributes:
        seed: of every random choice; the same seed repeats the run.
        short: a smaller run that still shows the promise, in well under two minutes.
        progress: given (total steps, label) begins a line of the display.
    """

    seed: int
    short: bool
    progress: Callable[[float, str], Task]


#: What ``prove(options)`` returns: figures by name, printed as one line at the end.
Figures = Mapping[str, Any]


def in_ci() -> bool:
    """Return whether what is missing must fail instead of being skipped."""
    return os.environ.get("CI") == "true"
