"""docs/errors.md names what the checks of a fleet find, and they find what it names."""

from __future__ import annotations

import re

from tests.proofs.kit import ROOT

FLEET = ROOT / "contrib" / "fleet" / "rolehost_fleet"
PAGE = ROOT / "docs" / "errors.md"
#: Modules whose findings are those of ``fleet check``.
CHECKS = ("consistency", "settings", "budgets", "shutdown", "storage", "topology", "versions")


def found() -> set[str]:
    """Return every code that a check's source mentions."""
    codes: set[str] = set()
    for name in CHECKS:
        text = (FLEET / f"{name}.py").read_text("utf-8")
        codes.update(
            re.findall(r'(?:notes\.\w+\(|code =|code=|warning,|error,)\s*"([a-z-]+)"', text)
        )
    return codes


def named() -> set[str]:
    """Return the codes in the page's table of this command, and the one that ``check`` shares."""
    text = PAGE.read_text("utf-8")
    section = text[text.index("## `fleet check`") : text.index("## `fleet plan`")]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)} | {"role-missing"}


def test_every_mistake_that_a_check_can_find_stands_in_the_docs() -> None:
    assert len(found()) > 30
    assert sorted(found() - named()) == []


def test_every_mistake_in_the_docs_can_be_found() -> None:
    assert sorted(named() - found()) == []
