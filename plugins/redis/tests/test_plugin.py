from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from rolehost.api import CapabilityMissing, DeclareContext, Secret
from rolehost_redis import plugin
from rolehost_redis.settings import RedisSettings

CONTEXT = DeclareContext(plugin="redis", settings=RedisSettings(), deployment="test")


def test_it_offers_backends_that_declare_what_they_can_do_and_do_not_connect() -> None:
    for backend in plugin.rolehost_backends(CONTEXT):
        made = backend.factory()
        assert made.capabilities == backend.capabilities
        assert not backend.unavailable
        made.close()


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    assert all("pip install" in each.unavailable for each in plugin.rolehost_backends(CONTEXT))


def test_without_dramatiq_the_queue_declares_no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: name if name == "redis" else None)
    (queue,) = (each for each in plugin.rolehost_backends(CONTEXT) if each.kind == "queue")
    assert "ephemeral" not in queue.capabilities
    monkeypatch.setitem(sys.modules, "rolehost_redis.broker", None)
    made = queue.factory()
    with pytest.raises(CapabilityMissing, match="ephemeral"):
        made.broker()
    made.close()


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys; from rolehost_redis import plugin;"
        "from rolehost.api import DeclareContext;"
        "settings = plugin.rolehost_plugin().settings();"
        "context = DeclareContext(plugin='redis', settings=settings, deployment='test');"
        "plugin.rolehost_backends(context);"
        "assert not {'redis', 'dramatiq'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://sesame@host",
        "redis://",
        "redis://:sesame@host:port",
        "redis://:ses/ame#@host",
        "redis://:sesame@host/first",
        "redis://:sesame@host?db=first",
        "unix://",
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"cache_url is not a URL of Redis") as caught:
        RedisSettings(cache_url=Secret(url))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://u:p@h:1/2?ssl_cert_reqs=none", "unix:///run/redis.sock?db=1"]
)
def test_urls_are_of_hosts_with_or_without_tls_and_of_sockets(url: str) -> None:
    context = msgspec.structs.replace(CONTEXT.settings, url=Secret(url))
    for backend in plugin.rolehost_backends(
        DeclareContext(plugin="redis", settings=context, deployment="test")
    ):
        backend.factory().close()


def test_sentinels_need_the_name_of_what_they_watch() -> None:
    with pytest.raises(ValueError, match="sentinel_service"):
        RedisSettings(sentinels=("host:26379",))
