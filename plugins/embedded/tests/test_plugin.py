from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rolehost.api import CapabilityMissing, DeclareContext
from rolehost_embedded import plugin
from rolehost_embedded.settings import EmbeddedSettings

CONTEXT = DeclareContext(plugin="embedded", settings=EmbeddedSettings(), deployment="test")


def test_it_offers_a_backend_of_every_kind_that_declares_what_it_can_do() -> None:
    for backend in plugin.rolehost_backends(CONTEXT):
        made = backend.factory()
        assert made.capabilities == backend.capabilities
        made.close()


def test_without_dramatiq_the_queue_declares_no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    (queue,) = (each for each in plugin.rolehost_backends(CONTEXT) if each.kind == "queue")
    assert "ephemeral" not in queue.capabilities
    monkeypatch.setitem(sys.modules, "rolehost_embedded.broker", None)
    made = queue.factory()
    with pytest.raises(CapabilityMissing, match="ephemeral"):
        made.broker()
    made.close()


def test_declaring_imports_no_driver_and_touches_no_file() -> None:
    script = (
        "import sys; from rolehost_embedded import plugin; from rolehost.api import DeclareContext;"
        "settings = plugin.rolehost_plugin().settings();"
        "context = DeclareContext(plugin='embedded', settings=settings, deployment='test');"
        "plugin.rolehost_backends(context); plugin.rolehost_migrations();"
        "assert not {'peewee', 'dramatiq', 'sqlite3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_what_is_in_a_file_is_known_by_the_file_and_memory_is_not() -> None:
    identities = {each.kind: each.fleet.identity for each in plugin.rolehost_backends(CONTEXT)}

    assert identities["database"] == identities["stream"] == str(Path.cwd() / "rolehost.db")
    assert identities["queue"] == str(Path.cwd() / "rolehost-queue.db")
    assert identities["cache"] == ""
