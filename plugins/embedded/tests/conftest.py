from __future__ import annotations

from pathlib import Path

import pytest
from rolehost_embedded.settings import EmbeddedSettings


@pytest.fixture
def settings(tmp_path: Path) -> EmbeddedSettings:
    return EmbeddedSettings(
        path=tmp_path / "service.db",
        synchronous="normal",
        message_lease=1.0,
        member_lease=1.0,
    )
