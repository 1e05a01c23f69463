"""Run one proof and print its figures.

A proof is a module of ``tests/proofs`` with ``PROMISE`` (one sentence), ``DURATION`` (the usual
duration, as text) and ``prove(options)``. This function returns figures by name, or raises
``AssertionError`` with the message to print. Exit status: 0 if the promise holds, 1 if it does
not, 2 for wrong usage, 3 if the proof cannot run here. A module with ``EXPECTED_FAILURE`` (why the
promise does not hold yet) is not among the tests. A module with ``GROUPED = True`` has a second
form, in which all actors and handlers that may be are grouped (``--grouped``).
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.proofs.kit import GROUPED, ROOT, Options, Unavailable


@dataclass(frozen=True, slots=True)
class Described:
    """The description of a proof, read from its source without an import."""

    name: str
    promise: str
    duration: str
    expected_failure: str = ""
    grouped: bool = False

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"scripts/prove {self.name}"


def proofs() -> dict[str, Described]:
    """Return every proof by name, sorted."""
    found = {}
    for path in sorted((ROOT / "tests" / "proofs").glob("*.py")):
        constants = {
            target.id: node.value.value
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        if "PROMISE" in constants:
            name = path.stem.replace("_", "-")
            found[name] = Described(
                name,
                constants["PROMISE"],
                constants["DURATION"],
                constants.get("EXPECTED_FAILURE", ""),
                constants.get("GROUPED", False),
            )
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the progress display; does nothing if there is no display."""

    progress: Progress | None
    task: Any

    def advance(self, steps: float = 1) -> None:
        """Advance by this number of steps."""
        if self.progress is not None:
            self.progress.advance(self.task, steps)

    def relabel(self, label: str) -> None:
        """Change the label of the bar."""
        if self.progress is not None:
            self.progress.update(self.task, description=label)


@contextmanager
def display(quiet: bool) -> Iterator[Progress | None]:
    """Show progress on standard error during the block; give None if quiet."""
    if quiet:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress


def run(proof: Described, *, seed: int, short: bool, as_json: bool, grouped: bool = False) -> int:
    """Run the proof, print its result, and return the exit status."""
    module = importlib.import_module(f"tests.proofs.{proof.name.replace('-', '_')}")
    figures: dict[str, Any] = {"seed": seed}
    words, status = "", 0
    began = time.monotonic()
    with display(as_json) as progress:

        def begin(total: float, label: str) -> Line:
            task = progress.add_task(label, total=total) if progress is not None else None
            return Line(progress, task)

        try:
            figures |= module.prove(
                Options(seed=seed, short=short, progress=begin, grouped=grouped)
            )
        except AssertionError as error:
            words, status = str(error) or "the promise does not hold", 1
        except Unavailable as error:
            words, status = str(error), 3
    figures["seconds"] = round(time.monotonic() - began, 1)
    if as_json:
        outcome = {"proof": proof.name, "promise": proof.promise, "held": status == 0}
        print(json.dumps(outcome | {"words": words, "figures": figures}))
    else:
        if words:
            print(words, file=sys.stderr)
        print(" ".join(f"{name}={value}" for name, value in figures.items()))
    return status


def show(found: dict[str, Described], as_json: bool) -> None:
    """Print the promise, the command and the usual duration of every proof."""
    if as_json:
        rows = [
            {
                "promise": each.promise,
                "command": each.command,
                "duration": each.duration,
                "expected_failure": each.expected_failure,
            }
            for each in found.values()
        ]
        print(json.dumps(rows, indent=2))
        return
    table = Table("promise", "command", "usually takes", "does not hold yet", show_lines=True)
    for each in found.values():
        table.add_row(each.promise, each.command, each.duration, each.expected_failure)
    Console().print(table)


def main() -> int:
    """Run the command line."""
    found = proofs()
    parser = argparse.ArgumentParser(prog="scripts/prove", description="Run one proof.")
    parser.add_argument("name", nargs="?", choices=list(found), metavar="NAME")
    parser.add_argument("--seed", type=int, help="repeat a run; default: a fresh one, printed")
    parser.add_argument("--short", action="store_true", help="the smaller run that tests use")
    parser.add_argument(
        "--grouped", action="store_true", help="group all actors and handlers that may be"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, no progress bar")
    parser.add_argument("--list", action="store_true", help="what there is to prove")
    given = parser.parse_args()
    if given.list:
        show(found, given.json)
        return 0
    if given.name is None:
        parser.error(f"expected a NAME out of {', '.join(found)}, or --list")
    seed = given.seed if given.seed is not None else secrets.randbelow(2**32)
    if given.grouped:
        if not found[given.name].grouped:
            parser.error(f"{given.name} has no form with groups")
        path = (str(GROUPED), os.environ.get("PYTHONPATH", ""))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return run(
        found[given.name],
        seed=seed,
        short=given.short,
        as_json=given.json,
        grouped=given.grouped,
    )


if __name__ == "__main__":
    sys.exit(main())
