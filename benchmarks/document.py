"""Keeps the figures of a run in ``docs/``: the picture, and the table of a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import load
from benchmarks.model import ROOT, Figure
from benchmarks.picture import draw
from benchmarks.table import markdown_table

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks.png"

#: Between these lines the page is written by this module.
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def keep(figures: Sequence[Figure], command: str) -> None:
    """Replace the figures of the page, and the picture."""
    draw(figures, PICTURE)
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    body = f"{BEGIN}\n{conditions(figures, command)}\n\n{markdown_table(figures)}{END}"
    PAGE.write_text(before + body + after, "utf-8")


def conditions(figures: Sequence[Figure], command: str) -> str:
    """Say in a sentence how and where the figures came about."""
    # One figure of each benchmark: the others are of the same rounds.
    rounds = {figure.benchmark: figure.quiet for figure in figures}.values()
    quiet = sum(map(sum, rounds))
    of = sum(map(len, rounds))
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("falcon", "gunicorn", "uvloop", "dramatiq")
    )
    return (
        f"`{command}` on Python {platform.python_version()}, {os.cpu_count()} processors"
        f" ({_processor()}), {libraries}; load by {load.generator()}. {quiet} of {of} rounds were"
        " quiet; a ratio marked ~ had fewer than three quiet rounds and is made of all."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
