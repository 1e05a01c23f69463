"""The backends that ``rolehost new`` writes pass their own tests, as they stand.

Once for all Pythons, with the documents. A plugin, and both on each Python: ``scripts/prove
third-party``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rolehost_testing.scaffold import BACKENDS

from contrib.testing.tests.authoring.test_new import made, run
from tests.docs.author import install


@pytest.mark.parametrize("kind", BACKENDS)
def test_its_tests_pass_and_it_checks(kind: str, tmp_path: Path) -> None:
    folder = made(kind, "guest-book", tmp_path)
    environ = install(folder, tmp_path / "site")
    # A few tests of the conformance suites; the plugins of this repository run all of them.
    said = run(folder, "pytest", "-q", "-k", "not conformance or wake or capabilities", **environ)
    assert "passed" in said
    assert "ok: 2 plugins" in run(folder, "rolehost", "check", **environ)
