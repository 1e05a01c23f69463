from __future__ import annotations

import subprocess
import sys

import pytest
from rolehost.api import DeclareContext, Secret, StorageRefused
from rolehost_postgres import plugin
from rolehost_postgres.settings import PostgresSettings

SETTINGS = PostgresSettings(url=Secret("postgresql://me:hunter2@127.0.0.1:1/nowhere"))
CONTEXT = DeclareContext(plugin="postgres", settings=SETTINGS, deployment="test")


def test_it_offers_backends_that_declare_what_they_can_do_and_do_not_connect_yet() -> None:
    backends = plugin.rolehost_backends(CONTEXT)
    assert [backend.kind for backend in backends] == ["database", "queue"]
    for backend in backends:
        assert not backend.unavailable
        made = backend.factory()
        assert made.capabilities == backend.capabilities
        made.close()
        made.close()


def test_without_the_driver_the_backends_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    for backend in plugin.rolehost_backends(CONTEXT):
        assert "pip install psycopg2-binary" in backend.unavailable


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys; from rolehost_postgres import plugin;"
        "from rolehost.api import DeclareContext;"
        "settings = plugin.rolehost_plugin().settings();"
        "context = DeclareContext(plugin='postgres', settings=settings, deployment='test');"
        "plugin.rolehost_backends(context);"
        "assert not {'peewee', 'psycopg2', 'dramatiq'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_a_url_that_is_none_is_told_without_showing_it() -> None:
    settings = PostgresSettings(url=Secret("postgres//me:hunter2@host/name"))
    for backend in plugin.rolehost_backends(
        DeclareContext(plugin="postgres", settings=settings, deployment="test")
    ):
        with pytest.raises(
            StorageRefused, match=r"\[postgres\] url is not a connection URI"
        ) as told:
            backend.factory()
        assert "hunter2" not in str(told.value)
        assert told.value.__cause__ is None
