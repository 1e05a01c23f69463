"""Write the figures of a run to ``docs/``: the picture, and the tables of a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import load
from benchmarks.model import ROOT, Figure
from benchmarks.picture import draw
from benchmarks.registry import GROUPS
from benchmarks.table import markdown_table

PAGE = ROOT / "docs" / "benchmarks.md"

_HTTP = ("http-plain", "http-usual", "http-plugins")
_DRAMATIQ = ("ephemeral", "ephemeral-redis", "jobs", "jobs-postgres", "pickup", "pickup-engines")

#: Libraries that a benchmark uses: the page shows their versions with the figures.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "falcon": _HTTP,
    "gunicorn": _HTTP,
    "uvloop": _HTTP,
    "dramatiq": _DRAMATIQ,
    "psycopg2-binary": (
        "jobs-postgres",
        "ledger",
        "limits",
        "groups",
        "river",
        "async",
        "earlier",
        "events",
    ),
    "celery": ("jobs-postgres", "async"),
    "gevent": ("async",),
    "arq": ("async",),
    "taskiq": ("async",),
    "taskiq-redis": ("async",),
    "procrastinate": ("jobs-postgres",),
    "kafka-python": ("events",),
    "confluent-kafka": ("events",),
    "faststream": ("events",),
    "redis": ("ephemeral-redis", "cache", "pickup-engines", "async"),
    "pymemcache": ("cache",),
}


def keep(figures: Sequence[Figure], command: str) -> None:
    """Replace the figures and the picture of each measured group of benchmarks."""
    for group, names in GROUPS.items():
        measured = [figure for figure in figures if figure.benchmark in names]
        if measured:
            draw(measured, PAGE.with_name(f"benchmarks-{group}.png"))
            _replace(group, f"{conditions(measured, command)}\n\n{markdown_table(measured)}")


def _replace(group: str, body: str) -> None:
    """Replace the text between the two marker lines of a group on the page."""
    begin, end = f"<!-- figures: {group} -->", f"<!-- /figures: {group} -->"
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n{body}{end}{after}", "utf-8")


def conditions(figures: Sequence[Figure], command: str) -> str:
    """Return a sentence with the conditions of the measurement."""
    # One figure of each benchmark is enough: the others come from the same rounds.
    rounds = {figure.benchmark: figure.quiet for figure in figures}.values()
    quiet = sum(map(sum, rounds))
    of = sum(map(len, rounds))
    names = {figure.benchmark for figure in figures}
    libraries = ", ".join(
        f"{library} {version(library)}"
        for library, benchmarks in LIBRARIES.items()
        if names & set(benchmarks)
    )
    return (
        f"`{command}` on Python {platform.python_version()}, {os.cpu_count()} processors"
        f" ({_processor()}), {libraries}; load by {load.generator()}. {quiet} of {of} rounds were"
        " quiet; a ratio marked ~ had fewer than three quiet rounds and uses all rounds."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
