"""Only the host's user can use its files, under every umask."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost_testing.kit import open_host

from contrib.testing.tests.kit import shop

pytestmark = pytest.mark.needs("rolehost_embedded", "rolehost_ops", "falcon", "dramatiq")


@pytest.fixture(params=(0o000, 0o022, 0o077, 0o277), ids=oct)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_files_of_a_host_are_closed_to_other_users(
    umask: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with open_host(["ops", ("shop", shop)], backends="temporary") as host:
        assert host.client.post("/orders", json={"item": "pear"}).status < 300
        host.drain(raises=False)
        assert host.client.get("/metrics").status == 200
        found = {
            path.relative_to(tmp_path): stat.S_IMODE(path.lstat().st_mode)
            for path in tmp_path.rglob("*")
            if not path.is_symlink()
        }
    kinds = {path.suffix for path in found}
    assert {".db", ".db-wal", ".db-shm", ".db-lock"} <= kinds
    assert any("metrics" in path.parts for path in found)
    assert {path: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
