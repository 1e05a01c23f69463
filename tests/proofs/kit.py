"""The options of every proof, and the exception of a proof that cannot run here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

#: The root of the repository.
ROOT = Path(__file__).resolve().parents[2]

#: The folder of a ``sitecustomize`` module, which makes actors and handlers grouped.
GROUPED = ROOT / "tests" / "proofs" / "grouped"

#: The folder in which ``scripts/fixtures.sh`` stores third-party test material.
FIXTURES = ROOT / ".cache" / "fixtures"


class Unavailable(Exception):
    """A requirement of the proof is missing on this machine; the message says how to get it.

    The proof is then skipped; with ``CI=true`` it fails.
    """


class Task(Protocol):
    """One line of the progress display."""

    def advance(self, steps: float = 1) -> None:
        """Advance by this number of steps."""

    def relabel(self, label: str) -> None:
        """Change the label of the bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run.

    Attributes:
        seed: the seed of all random choices; the same seed repeats the run.
        short: a smaller run that still proves the promise, in well under two minutes.
        grouped: whether all actors and handlers that may be are grouped, in all processes. Only
            a proof with ``GROUPED = True`` has this form.
        progress: called with (total steps, label) to start a line of the display.
    """

    seed: int
    short: bool
    progress: Callable[[float, str], Task]
    grouped: bool = False


#: The result of ``prove(options)``: figures by name, printed as one line at the end.
Figures = Mapping[str, Any]


def in_ci() -> bool:
    """Return whether a missing requirement must fail the proof instead of skipping it."""
    return os.environ.get("CI") == "true"
