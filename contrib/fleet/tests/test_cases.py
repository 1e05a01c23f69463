"""Fleets with one error each: what ``rolehost fleet check`` says, word by word.

``ROLEHOST_GOLDEN=write pytest contrib/fleet/tests`` writes the golden texts anew; read the
difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rolehost_fleet.checking import check
from rolehost_fleet.loading import load

from tests.proofs.fleet_check_case import ENVIRON, Case
from tests.proofs.fleet_check_cases import CASES

pytestmark = [
    pytest.mark.needs("rolehost_webhooks"),
    pytest.mark.needs("rolehost_postgres"),
    pytest.mark.needs("rolehost_kafka"),
]

GOLDEN = Path(__file__).with_name("golden")


def slug(case: Case) -> str:
    return "-".join(re.findall(r"[a-z]+", case.name.lower()))


def told(case: Case, folder: Path) -> str:
    """Return everything that is said of a case's fleet, its folder left out."""
    fleet = load(case.write(folder), environ=ENVIRON, extra=case.extra())
    findings = check(fleet)
    parts = [f"{problem}\n" for problem in findings.errors]
    parts += [f"warning: {problem}\n" for problem in findings.warnings]
    # Lines may be added to a deployment.
    text = "\n".join(parts).replace(f"{folder}/", "")
    return re.sub(r"(\.toml|[a-z_]+\.[a-z_.]+):\d+", r"\1:N", text)


@pytest.mark.parametrize("case", CASES, ids=slug)
def test_a_mistake_in_a_fleet_is_told_in_the_golden_words(case: Case, tmp_path: Path) -> None:
    text = told(case, tmp_path)

    golden = GOLDEN / f"{slug(case)}.txt"
    if os.environ.get("ROLEHOST_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text("utf-8")


def test_there_is_no_golden_text_of_a_case_that_is_gone() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == {slug(case) for case in CASES}


def test_a_secret_is_never_shown() -> None:
    assert [file.name for file in GOLDEN.iterdir() if "hunter2" in file.read_text("utf-8")] == []
