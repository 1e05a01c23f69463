"""docs/fleet.md names what the checks find, and the checks find what it names."""

from __future__ import annotations

import re

from tests.proofs.kit import ROOT

FLEET = ROOT / "contrib" / "fleet" / "rolehost_fleet"
PAGE = ROOT / "docs" / "fleet.md"
#: Modules whose findings are those of ``fleet check``.
CHECKS = ("consistency", "settings", "budgets", "shutdown", "storage", "topology", "versions")


def found() -> set[str]:
    """Return every code that a check's source mentions."""
    codes: set[str] = set()
    for name in CHECKS:
        text = (FLEET / f"{name}.py").read_text("utf-8")
        codes.update(
            re.findall(r'(?:notes\.\w+\(|code =|code=|warning,|mistake,)\s*"([a-z-]+)"', text)
        )
    return codes


def told() -> set[str]:
    """Return every code that the page's tables of mistakes name."""
    text = PAGE.read_text("utf-8")
    section = text[text.index("### What is found") : text.index("## Graph")]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    codes = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    return codes | set(re.findall(r"`(version-differs)`", section))


def test_every_mistake_that_a_check_can_find_stands_in_the_docs() -> None:
    assert len(found()) > 30
    assert sorted(found() - told()) == []


def test_every_mistake_in_the_docs_can_be_found() -> None:
    assert sorted(told() - found()) == []
