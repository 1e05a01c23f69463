"""docs/concepts.md states its number of concepts, and names existing code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.proofs.kit import ROOT

PAGE = (ROOT / "docs/concepts.md").read_text("utf-8")
HOST = ROOT / "host/rolehost"
STEPS = re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)


def defined(path: Path) -> set[str]:
    """Return the classes, functions and methods of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            inner = (each for each in node.body if isinstance(each, ast.FunctionDef))
            outer = (each for each in node.body if isinstance(each, ast.AsyncFunctionDef))
            names.update(f"{node.name}.{each.name}" for each in (*inner, *outer))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize(
    ("name", "heading"),
    [("first", "For a first plugin"), ("later", "Later"), ("commands", "Commands")],
)
def test_the_page_counts_its_concepts(name: str, heading: str) -> None:
    (said,) = re.findall(rf"<!-- count: {name} -->(\d+)<!-- end -->", PAGE)
    _, _, section = PAGE.partition(f"## {heading}\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert len(rows) - 1 == int(said)


@pytest.mark.parametrize(("file", "name"), sorted(set(STEPS)))
def test_every_step_of_a_walk_is_in_the_code(file: str, name: str) -> None:
    assert name in defined(HOST / file)
