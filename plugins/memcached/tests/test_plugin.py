from __future__ import annotations

import subprocess
import sys

import pytest
from rolehost.api import DeclareContext
from rolehost_memcached import plugin
from rolehost_memcached.settings import MemcachedSettings

CONTEXT = DeclareContext(plugin="memcached", settings=MemcachedSettings(), deployment="test")


def test_it_offers_a_cache_that_declares_what_it_can_do_and_does_not_connect() -> None:
    (backend,) = plugin.rolehost_backends(CONTEXT)
    made = backend.factory()
    assert made.capabilities == backend.capabilities
    assert not backend.unavailable
    made.close()


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    (backend,) = plugin.rolehost_backends(CONTEXT)
    assert "pip install" in backend.unavailable


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys; from rolehost_memcached import plugin;"
        "from rolehost.api import DeclareContext;"
        "settings = plugin.rolehost_plugin().settings();"
        "context = DeclareContext(plugin='memcached', settings=settings, deployment='test');"
        "plugin.rolehost_backends(context);"
        "assert 'pymemcache' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_the_same_servers_and_namespace_are_the_same_cache() -> None:
    def identity(settings: MemcachedSettings) -> str:
        context = DeclareContext(plugin="memcached", settings=settings, deployment="test")
        (backend,) = plugin.rolehost_backends(context)
        return backend.fleet.identity

    assert identity(MemcachedSettings(servers=("b", "a"))) == "a,b rolehost"
    assert identity(MemcachedSettings(servers=("a", "b"), namespace="shop")) == "a,b shop"
