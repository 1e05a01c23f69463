from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rolehost.api import Secret, StorageError
from rolehost_redis.cache import RedisCache
from rolehost_redis.queue import RedisQueue
from rolehost_redis.servers import server_of
from rolehost_redis.settings import RedisSettings
from rolehost_testing.services import Server, certificates

BACKENDS = pytest.mark.parametrize("make", [RedisCache, RedisQueue], ids=["cache", "queue"])


def test_a_password_for_a_server_that_has_none(address: str) -> None:
    line = _refusal(RedisCache, url=Secret(f"redis://:sesame@{address}"))
    assert line.startswith(f"StorageRefused: redis {address} ([redis] url): the server has no")


def test_what_is_no_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.recv(100)
                client.sendall(b"ERROR\r\n")
                client.recv(100)

        thread = threading.Thread(target=answer)
        thread.start()
        line = _refusal(RedisCache, url=Secret(f"redis://127.0.0.1:{other.getsockname()[1]}"))
        thread.join()
    assert "StorageRefused" in line
    assert "not Redis" in line


def _refusal(make: Callable[[RedisSettings], RedisCache | RedisQueue], **settings: object) -> str:
    """Return the one line that such settings lead to."""
    backend = make(
        RedisSettings(connect_timeout=1.0, timeout=1.0, **settings)  # type: ignore[arg-type]
    )
    try:
        with pytest.raises(StorageError) as caught:
            backend.ping()
    finally:
        backend.close()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert caught.value.backend == "redis"
    text = str(caught.value)
    assert str(caught.value.setting) in text
    assert "\n" not in text
    assert "sesame" not in text
    return f"{type(caught.value).__name__}: {text}"


@pytest.fixture
def address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


@BACKENDS
def test_a_wrong_password_is_refused_for_good(make: type[RedisCache], address: str) -> None:
    line = _refusal(make, url=Secret(f"redis://nobody:sesame@{address}"))
    assert line.startswith(f"StorageRefused: redis {address} ([redis] url): wrong user or")
    assert "password" in line


def test_a_database_that_is_not_there_is_refused_for_good(address: str) -> None:
    line = _refusal(RedisCache, cache_url=Secret(f"redis://{address}/99999"))
    assert line.startswith(f"StorageRefused: redis {address} ([redis] cache_url): ")
    assert "no database with that number" in line


@BACKENDS
def test_a_port_where_nobody_listens(make: type[RedisCache], closed_port: int) -> None:
    line = _refusal(make, url=Secret(f"redis://:sesame@127.0.0.1:{closed_port}"))
    assert line.startswith(f"StorageUnavailable: redis 127.0.0.1:{closed_port} ([redis] url): ")


def test_a_host_that_does_not_exist() -> None:
    line = _refusal(RedisQueue, queue_url=Secret("redis://:sesame@no-such-host.invalid"))
    assert line.startswith("StorageUnavailable: redis no-such-host.invalid:6379 ([redis] queue_url")


def test_a_server_that_does_not_answer(silent_port: int) -> None:
    line = _refusal(RedisCache, url=Secret(f"redis://127.0.0.1:{silent_port}"))
    assert "StorageUnavailable" in line


def test_a_server_without_tls(address: str) -> None:
    line = _refusal(RedisCache, url=Secret(f"rediss://:sesame@{address}"))
    assert line.startswith(f"StorageRefused: redis {address} ([redis] url): TLS is set")


def test_a_server_that_knows_its_clients_by_their_certificates(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("redis", tls=True, client_certificates=True)
    ours, stranger = server.client, certificates.make(tmp_path).client
    line = _refusal(RedisCache, url=Secret(server.url))
    assert "the server requires a client certificate" in line
    line = _refusal(RedisCache, url=Secret(_showing(server.url, stranger)))
    assert "the server does not take the client's certificate (TLSV1_ALERT_UNKNOWN_CA)" in line
    backend = RedisCache(RedisSettings(url=Secret(_showing(server.url, ours))))
    backend.ping()
    backend.close()


def _showing(url: str, pair: certificates.Pair) -> str:
    return f"{url}&ssl_certfile={pair.certificate}&ssl_keyfile={pair.key}"


def test_sentinels_that_are_not_there(closed_port: int) -> None:
    line = _refusal(
        RedisCache,
        sentinels=(f"127.0.0.1:{closed_port}",),
        sentinel_service="main",
        sentinel_password=Secret("sesame"),
    )
    assert "'main'" in line
    assert "[redis] sentinels" in line
    assert len(line) < 200


def test_settings_and_servers_print_no_password() -> None:
    settings = RedisSettings(url=Secret("redis://:sesame@host"))
    server = server_of(settings, "cache")
    assert "sesame" not in f"{settings!r} {server!r} {server}"
