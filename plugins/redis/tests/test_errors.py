from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from rolehost.api import Secret, StorageError
from rolehost_redis.cache import RedisCache
from rolehost_redis.queue import RedisQueue
from rolehost_redis.settings import RedisSettings

BACKENDS = pytest.mark.parametrize("make", [RedisCache, RedisQueue], ids=["cache", "queue"])


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
    text = str(caught.value)
    assert "\n" not in text
    assert "sesame" not in text
    return f"{type(caught.value).__name__}: {text}"


@pytest.fixture
def address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


@BACKENDS
def test_a_wrong_password_is_refused_for_good(make: type[RedisCache], address: str) -> None:
    line = _refusal(make, url=Secret(f"redis://nobody:sesame@{address}"))
    assert line.startswith(f"StorageError: redis {address} ([redis] url): refused")
    assert "password" in line


def test_a_database_that_is_not_there_is_refused_for_good(address: str) -> None:
    line = _refusal(RedisCache, cache_url=Secret(f"redis://{address}/99999"))
    assert line.startswith(f"StorageError: redis {address} ([redis] cache_url): refused")
    assert "out of range" in line


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
    assert f"redis {address} ([redis] url): over TLS" in line


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


def test_settings_and_places_print_no_password() -> None:
    settings = RedisSettings(url=Secret("redis://:sesame@host"))
    cache = RedisCache(settings)
    assert "sesame" not in f"{settings!r} {cache._place!r} {cache._place}"
    cache.close()
