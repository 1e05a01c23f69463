"""The examples of docs/testing.md are a suite that passes, and its table is that of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rolehost import failpoints

from tests.docs.pages import extract
from tests.proofs.kit import ROOT

PAGE = ROOT / "docs/testing.md"


def test_the_suite_of_the_page_passes(tmp_path: Path) -> None:
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
    assert len(list(tmp_path.glob("test_*.py"))) == 4
    assert re.search(r"^14 passed", done.stdout, re.MULTILINE), done.stdout


def test_every_failpoint_stands_in_the_page_with_its_words() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == dict(failpoints.NAMES)
