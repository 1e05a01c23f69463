"""What the deployments of ``deploy/`` are told by the environment when a command reads them."""

from __future__ import annotations

import pytest

from tests.proofs.fleet_check_case import ENVIRON


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
