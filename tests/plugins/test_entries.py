"""The entries plugins, of which a proof makes a fleet, in one deployment without a server."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.check.casefile import install
from tests.proofs.disposable_load import post
from tests.proofs.running import READY, eventually, free_port, running

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("falcon"),
    pytest.mark.needs("dramatiq"),
]

SOURCE = Path(__file__).with_name("entries")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where the running deployment takes entries."""
    parts = ("api", "work", "events", "clock")
    for part in parts:
        entry = f"entries-{part} = rolehost_entries.{part}"
        install(tmp_path / "site", "rolehost-entries", "0.1.0", entry)
    bind = f"127.0.0.1:{free_port()}"
    (tmp_path / "rolehost.toml").write_text(
        f"plugins = {['embedded', *(f'entries-{part}' for part in parts)]}\n"
        f'[http]\nbind = "{bind}"\n[embedded]\npath = "service.db"\n'
    )
    environ = {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{SOURCE}"}
    with running([sys.executable, "-m", "rolehost", "run"], tmp_path, environ) as host:
        host.until(READY)
        yield f"http://{bind}/entries"


def effects(folder: Path, entry: str) -> list[tuple[str, int, int]]:
    """Return (kind, seq, position) of the effects of an entry, sorted."""
    with sqlite3.connect(folder / "service.db") as connection:
        found = connection.execute(
            "SELECT kind, seq, position FROM entries_effects WHERE entry = ?", (entry,)
        ).fetchall()
    connection.close()
    return sorted(found)


def test_an_entry_that_is_posted_twice_has_each_effect_once(url: str, tmp_path: Path):
    for _ in range(2):
        assert post(url, {"entry": "e1", "key": "k"}, {"Idempotency-Key": "e1"}) == 201
    wanted = [("accepted", 1, 1), ("filed", 1, 0), ("handled", 1, 1), ("settled", 1, 0)]
    assert eventually(lambda: effects(tmp_path, "e1"), lambda found: len(found) >= 4) == wanted


def test_entries_of_one_key_are_handled_in_the_order_they_were_accepted(url: str, tmp_path: Path):
    for number in range(1, 6):
        assert post(url, {"entry": f"e{number}", "key": "k"}) == 201
    for number in range(1, 6):
        found = eventually(
            lambda name=f"e{number}": effects(tmp_path, name), lambda found: len(found) >= 4
        )
        assert ("handled", number, number) in found
