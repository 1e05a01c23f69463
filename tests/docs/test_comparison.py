"""The feature table: documents for what it says of others, our tests for what it says of us."""

from __future__ import annotations

import re

import pytest

from tests.proofs.kit import ROOT

TEXT = (ROOT / "docs" / "comparison.md").read_text("utf-8")

#: Code → (name, address) of each reference.
REFERENCES = {
    code: (name, address)
    for code, name, address in re.findall(r"^- ([A-Z]\d+): \[(.+?)\]\((\S+)\)", TEXT, re.MULTILINE)
}

CODE = re.compile(r"\b[A-Z]\d+\b")


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


HEADING, *ROWS = (
    cells_of(line)
    for line in dict.fromkeys(TEXT.splitlines())
    if line.startswith("| ") and line.count("|") == 10
)
PRODUCTS = HEADING[1:]


def features() -> set[tuple[str, str]]:
    """The rows of docs/features.md, each with the anchor of its section."""
    found, anchor = set(), ""
    for line in (ROOT / "docs" / "features.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            anchor = line[3:].lower().replace(" ", "-")
        elif line.startswith("| "):
            found.add((cells_of(line)[0], f"features.md#{anchor}"))
    return found


def test_the_table_has_all_products_and_fits():
    assert {len(row) for row in ROWS} == {9}
    assert 30 <= len(ROWS) <= 45
    assert len(PRODUCTS) == 8


def test_every_named_reference_exists_and_every_reference_is_named():
    tables = "\n".join(line for line in TEXT.splitlines() if not line.startswith("- "))
    prose = "\n".join(re.findall(r"\(([A-Z]\d+)\)", TEXT))
    named = set(CODE.findall(tables.replace("code such as O1", ""))) | set(CODE.findall(prose))
    assert named == REFERENCES.keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_cell_has_a_source_of_its_product(row: list[str]):
    for product, cell in zip(PRODUCTS, row[1:], strict=True):
        if cell == "–" or (product == "rolehost" and cell == "no"):
            continue
        codes = CODE.findall(cell)
        assert codes, f"{product}: {cell!r} names no reference"
        assert section_of(codes[0]) == product


def test_what_rolehost_has_is_a_row_of_the_features():
    ours = {reference for code, reference in REFERENCES.items() if code.startswith("R")}
    assert ours
    assert ours <= features()


def test_the_documents_of_others_are_on_the_web():
    others = {address for code, (_, address) in REFERENCES.items() if not code.startswith("R")}
    assert {address for address in others if not address.startswith("https://")} == set()


def section_of(code: str) -> str:
    """The heading under which a reference is listed."""
    before, _, _ = TEXT.partition(f"\n- {code}: ")
    return before.rpartition("\n### ")[2].partition("\n")[0]
