"""``rolehost check`` on the bad deployments of ``tests/check``."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

from tests.check.casefile import WORDS, cases, parse_problems
from tests.proofs.kit import Figures, Options

PROMISE = (
    "Every error in a bad deployment or plugin is reported with who, where, expected, got and fix,"
    " and all errors are reported at once."
)
DURATION = "25 s"

#: Cases of a short run.
SHORT = 25


def prove(options: Options) -> Figures:
    """Check each case in a separate process and compare the output with its golden text."""
    chosen = [case for case in cases() if not case.missing]
    if options.short:
        chosen = sorted(
            random.Random(options.seed).sample(chosen, SHORT), key=lambda case: case.name
        )
    line = options.progress(len(chosen), "bad deployments")
    codes: Counter[str] = Counter()
    together = 0
    for case in chosen:
        with tempfile.TemporaryDirectory() as folder:
            case.unpack(Path(folder))
            status, text = case.check(Path(folder))
        problems = parse_problems(text)
        assert status == 3, f"{case.name}: exit status {status} instead of 3\n{text}"
        assert text == case.expected, f"{case.name}: other words than the golden ones\n{text}"
        for problem in problems:
            lacking = [word for word in WORDS if not problem.get(word)]
            assert not lacking, f"{case.name}: {problem['code']} does not say {lacking}"
        codes.update(problem["code"] for problem in problems)
        together = max(together, len(problems))
        line.advance()
    return {
        "deployments": len(chosen),
        "errors": codes.total(),
        "kinds": len(codes),
        "most_at_once": together,
    }
