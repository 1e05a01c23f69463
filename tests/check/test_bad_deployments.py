"""``rolehost check`` on bad deployments and plugins, compared with golden texts.

``ROLEHOST_GOLDEN=write pytest tests/check`` writes them anew; read the difference.
"""

from __future__ import annotations

import os

import pytest

from tests.check.casefile import WORDS, Case, cases, parse_problems

ALL = cases()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_bad_deployment_is_reported_with_the_golden_text(case: Case, tmp_path):
    if case.missing:
        pytest.skip(f"needs {', '.join(case.missing)}")
    case.unpack(tmp_path)
    status, text = case.check(tmp_path)
    if os.environ.get("ROLEHOST_GOLDEN") == "write":
        case.rewrite(text)
    assert text == (case.expected or text)
    assert status == 3
    problems = parse_problems(text)
    assert problems
    for problem in problems:
        assert all(problem.get(word) for word in WORDS), problem


def test_there_are_enough_of_them():
    assert len(ALL) >= 35


def test_every_case_has_its_golden_text():
    assert [case.name for case in ALL if not case.expected] == []


def test_all_errors_of_one_deployment_are_reported_together():
    together = next(case for case in ALL if case.name == "several_at_once")
    assert len({problem["code"] for problem in parse_problems(together.expected)}) >= 6


def test_a_secret_is_never_shown():
    shown = [case.name for case in ALL if "hunter2" in case.expected]
    assert shown == []
