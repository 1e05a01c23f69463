"""The examples of docs/testing.md are a suite that passes, and its table fits the code."""

from __future__ import annotations

import re
from pathlib import Path

from rolehost import failpoints

from tests.docs.author import run_suite
from tests.proofs.kit import ROOT

PAGE = ROOT / "docs/testing.md"


def test_the_suite_of_the_page_passes(tmp_path: Path) -> None:
    said = run_suite(PAGE, tmp_path)
    assert len(list(tmp_path.glob("test_*.py"))) == 4
    assert re.search(r"^14 passed", said, re.MULTILINE), said


def test_the_page_lists_every_failpoint_with_its_description() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == dict(failpoints.NAMES)
