"""The command ``python -m benchmarks [NAME …]``.

Exit status: 0 if everything was measured, even if a goal was missed; 1 if a benchmark could not
be measured; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import quiet
from benchmarks.document import conditions, keep
from benchmarks.model import Bench, Figure, Unmeasured
from benchmarks.picture import draw
from benchmarks.registry import BENCHMARKS, GROUPS
from benchmarks.table import rich_table

#: Rounds of each pair in a full run and in a short run.
ROUNDS, SHORT = 9, 1

#: Width of the table if the output is not a terminal.
WIDTH = 150


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    # So that child processes are stopped and temporary files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.list:
        table = Table("name", "what it answers")
        for name, (question, _) in BENCHMARKS.items():
            table.add_row(name, question)
        Console().print(table)
        return 0
    names = [each for name in given.names for each in GROUPS.get(name, (name,))] or list(BENCHMARKS)
    figures, failures = _measure(names, given)
    for failure in failures:
        print(failure, file=sys.stderr)
    if not figures:
        return 1
    command = shlex.join(["python -m benchmarks", *arguments]).replace("'", "")
    if given.json:
        print(json.dumps([_plain(figure) for figure in figures], indent=1))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
        console.print(rich_table(figures))
        console.print(conditions(figures, command), soft_wrap=True)
    if given.picture:
        draw(figures, given.picture)
    if given.docs:
        keep(figures, command)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What the host costs beside its libraries."
    )
    # With nargs="*" argparse checks the default against the choices, so a type checks the names.
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help="default: all")
    parser.add_argument("--rounds", type=int, help=f"rounds of each pair; default {ROUNDS}")
    parser.add_argument("--short", action="store_true", help="see that everything works")
    parser.add_argument(
        "--patience",
        type=float,
        default=quiet.PATIENCE,
        help="seconds to wait for a quiet machine before each round; default %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="every sample, without a display")
    parser.add_argument("--picture", type=Path, help="draw the figures into this file")
    parser.add_argument("--docs", action="store_true", help="keep the figures in docs/")
    parser.add_argument("--list", action="store_true", help="what there is to measure")
    return parser


def _known(name: str) -> str:
    known = [*BENCHMARKS, *GROUPS]
    if name not in known:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return name


def _measure(
    names: Sequence[str], given: argparse.Namespace
) -> tuple[list[Figure], list[Unmeasured]]:
    figures: list[Figure] = []
    failures: list[Unmeasured] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True, quiet=given.json)
    with (
        tempfile.TemporaryDirectory(prefix="rolehost-bench-") as folder,
        Progress(*columns, console=console) as progress,
    ):

        def begin(total: int, label: str) -> Callable[[], None]:
            task = progress.add_task(label, total=total)
            return lambda: progress.advance(task)

        bench = Bench(
            folder=Path(folder),
            rounds=given.rounds or (SHORT if given.short else ROUNDS),
            short=given.short,
            patience=0.0 if given.short else given.patience,
            begin=begin,
        )
        for name in names:
            try:
                figures += BENCHMARKS[name][1](bench)
            except Unmeasured as error:
                failures.append(Unmeasured(f"{name}: {error}"))
    return figures, failures


def _plain(figure: Figure) -> dict[str, object]:
    judged = dataclasses.asdict(figure.judged)
    return {**dataclasses.asdict(figure), "judged": judged, "held": figure.held}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
