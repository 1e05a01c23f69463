"""Every test and proof that docs/features.md names exists."""

from __future__ import annotations

import ast
import re

import pytest

from scripts.prove import proofs
from tests.proofs.kit import ROOT

TEXT = (ROOT / "docs" / "features.md").read_text("utf-8")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(\S+\.py::\w+)`", TEXT))))
def test_a_named_test_exists(named: str):
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_named_proof_exists():
    named = set(re.findall(r"`scripts/prove ([a-z-]+)`", TEXT))
    assert named
    assert named <= proofs().keys()


def test_every_row_names_a_test():
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]
    without = [row for row in rows if "::" not in row and "scripts/prove" not in row]
    assert {row.split(" | ")[0] for row in without} == {"| feature"}
