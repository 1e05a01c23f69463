"""The example of docs/simulation.md runs, and its table names what there is."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from rolehost.testing.simulation import Simulation

from tests.docs.pages import extract
from tests.proofs.kit import ROOT

PAGE = ROOT / "docs/simulation.md"


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    extract(PAGE, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_every_argument_of_a_simulation_stands_in_its_table() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named == set(inspect.signature(Simulation).parameters)
