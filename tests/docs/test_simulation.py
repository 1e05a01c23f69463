"""The example of docs/simulation.md runs, and its table names every argument."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from rolehost_testing.simulation import Simulation

from tests.docs.author import run_suite
from tests.proofs.kit import ROOT

PAGE = ROOT / "docs/simulation.md"


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    assert "2 passed" in run_suite(PAGE, tmp_path)


def test_the_table_lists_every_argument_of_a_simulation() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named == set(inspect.signature(Simulation).parameters)
