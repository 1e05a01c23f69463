"""All our plugins have the highest level, as docs/grades.md lists.

Once for all Pythons, with the documents: every plugin is started, which takes its time.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rolehost.discovery import InstalledPlugin, installed
from rolehost_testing.grading import LEVELS, Grade, grade, judging

from scripts.generate_docs import OWN
from scripts.grades_page import PAGE, put
from tests.proofs.kit import ROOT


def source_of(found: InstalledPlugin) -> Path | None:
    """The folder of one of our distributions in this tree."""
    name = found.distribution.removeprefix("rolehost-")
    return next(
        (ROOT / each / name for each in ("plugins", "contrib") if (ROOT / each / name).is_dir()),
        None,
    )


def ours() -> list[InstalledPlugin]:
    return [found for found in installed() if found.distribution in OWN]


@pytest.fixture(scope="module")
def grades() -> dict[str, Grade]:
    # Importing takes longer beside other work, so the criterion `light` is tested alone, below.
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "IMPORT_LIMIT", math.inf)
        made = pool.map(lambda found: grade(found, source=source_of(found)), ours())
        return {each.plugin: each for each in made}


def test_all_of_our_plugins_have_the_highest_level(grades: dict[str, Grade]):
    wanting = [
        f"{name}: {each.criterion.name}: {each.detail or each.criterion.what}"
        for name, graded in grades.items()
        for each in graded.wanting
    ]
    assert wanting == []
    assert {graded.level for graded in grades.values()} == {LEVELS[-1]}


def test_the_page_lists_ours(grades: dict[str, Grade]):
    rows = ["| plugin | distribution | level | not applicable |", "|---|---|---|---|"]
    for name, graded in sorted(grades.items()):
        without = [each.criterion.name for each in graded.findings if each.state == "none"]
        rows.append(
            f"| `{name}` | {graded.distribution} | {graded.level or 'none'} |"
            f" {', '.join(without) or '-'} |"
        )
    text = PAGE.read_text("utf-8")
    current = put(text, "ours", "\n".join(rows))
    if os.environ.get("ROLEHOST_GOLDEN") == "write":
        PAGE.write_text(current, "utf-8")
    else:
        assert text == current, "ROLEHOST_GOLDEN=write python -m pytest tests/docs/test_grades.py"


@pytest.mark.alone
def test_all_of_our_plugins_are_light() -> None:
    # The better of two runs, because other work only adds time.
    heavy = [
        found.name
        for found in ours()
        if all(state_of("light", grade(found)) != "met" for _ in range(2))
    ]
    assert heavy == []


def state_of(criterion: str, graded: Grade) -> str:
    return next(each.state for each in graded.findings if each.criterion.name == criterion)
