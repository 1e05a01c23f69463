"""docs/concepts.md counts what it lists, and names code that there is."""

from __future__ import annotations

import re

import pytest

from tests.proofs.kit import ROOT

PAGE = (ROOT / "docs/concepts.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "heading"),
    [("first", "For a first plugin"), ("later", "Later"), ("commands", "Commands")],
)
def test_the_page_counts_its_concepts(name: str, heading: str) -> None:
    (said,) = re.findall(rf"<!-- count: {name} -->(\d+)<!-- end -->", PAGE)
    _, _, section = PAGE.partition(f"## {heading}\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert len(rows) - 1 == int(said)
