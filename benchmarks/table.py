"""Figures as a table, for terminals and for documents."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.model import Figure, Spread

HEADINGS = ("what", "host", "bare", "ratio", "spread", "goal", "held")


def rich_table(figures: Sequence[Figure]) -> Table:
    """Return a table for a terminal."""
    table = Table(*HEADINGS)
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures:
        colour = {True: "green", False: "red", None: ""}[figure.held]
        cells = row(figure)
        table.add_row(*cells[:-1], f"[{colour}]{cells[-1]}[/]" if colour else cells[-1])
    return table


def markdown_table(figures: Sequence[Figure]) -> str:
    """Return the same table as Markdown."""
    lines = [
        f"| {' | '.join(HEADINGS)} |",
        "|---|" + "--:|" * (len(HEADINGS) - 1),
        *(f"| {' | '.join(row(figure))} |" for figure in figures),
    ]
    return "\n".join(lines) + "\n"


def row(figure: Figure) -> tuple[str, ...]:
    """Return the cells of one figure; the spread is quartiles, then extremes in brackets."""
    judged = figure.judged
    bare = ratio = ""
    if figure.bare:
        bare = number(Spread.of([figure.bare[at] for at in figure.kept]).median, figure.unit)
        ratio = f"{judged.median:.3f}"
    digits = 3 if figure.bare else _digits(judged.median)
    spread = (
        f"{judged.low:,.{digits}f} to {judged.high:,.{digits}f}"
        f" ({judged.least:,.{digits}f} to {judged.most:,.{digits}f})"
    )
    noise = "" if figure.calm else " ~"
    held = {True: "yes", False: "no", None: ""}[figure.held]
    goal = "" if figure.goal is None else str(figure.goal)
    value = number(figure.value.median, figure.unit)
    return (figure.what, value, bare, ratio + noise, spread, goal, held)


def number(value: float, unit: str) -> str:
    """Return a value with its unit and a sensible number of digits."""
    return f"{value:,.{_digits(value)}f}{'' if unit.startswith('/') else ' '}{unit}"


def _digits(value: float) -> int:
    return 0 if value >= 1000 else 1 if value >= 10 else 2
