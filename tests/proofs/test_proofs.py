"""Every proof holds in its short version."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts.prove import proofs
from tests.proofs.kit import ROOT, Unavailable, in_ci
from tests.proofs.upgrade_versions import earlier_schemas

#: These proofs mostly wait for engines, so they may run in parallel with other tests.
WAITING = {
    "bad-settings",
    "disposable-broker",
    "dramatiq-faults",
    "fleet-real",
    "kafka-faults",
    "other-hosts",
}

#: These proofs have a time limit or a measurement that other load would disturb.
ALONE = {
    "fleet-check",
    "held-snapshot",
    "hostile-receivers",
    "isolation",
    "kills",
    "many-plugins",
    "quickstart",
    "reload",
    "slow-clients",
}


def marked(name: str) -> Any:
    """Return a proof's name as a pytest parameter with its marks."""
    marks = [pytest.mark.waiting] if name in WAITING else []
    marks += [pytest.mark.alone] if name in ALONE else []
    return pytest.param(name, marks=marks)


@pytest.mark.proof
@pytest.mark.parametrize(
    "name", [marked(each.name) for each in proofs().values() if not each.expected_failure]
)
def test_the_promise_holds(name: str) -> None:
    if name == "upgrade":
        try:
            earlier_schemas()
        except Unavailable as without_history:  # a packed source tree, also in CI
            pytest.skip(str(without_history))
    done = subprocess.run(
        [sys.executable, "-m", "scripts.prove", name, "--short", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 3 and not in_ci():
        pytest.skip(json.loads(done.stdout)["words"])
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
