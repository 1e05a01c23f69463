from __future__ import annotations

import subprocess
import sys

from rolehost.api import DeclareContext
from rolehost_embedded import plugin
from rolehost_embedded.settings import EmbeddedSettings

CONTEXT = DeclareContext(plugin="embedded", settings=EmbeddedSettings(), deployment="test")


def test_it_offers_a_backend_of_every_kind_that_declares_what_it_can_do() -> None:
    for backend in plugin.rolehost_backends(CONTEXT):
        made = backend.factory()
        assert made.capabilities == backend.capabilities
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
