from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from pymemcache.client.base import Client
from rolehost.api import StorageBusy, StorageError
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings


@pytest.fixture
def now() -> list[float]:
    return [2_000_000_000.0]


@contextmanager
def _open(
    settings: MemcachedSettings, clock: Callable[[], float] | None = None
) -> Iterator[MemcachedCache]:
    cache = MemcachedCache(settings, clock) if clock else MemcachedCache(settings)
    yield cache
    cache.close()


def test_a_value_at_the_limit_is_stored_and_one_above_it_refused(
    settings: MemcachedSettings,
) -> None:
    with _open(msgspec.structs.replace(settings, max_value=1000)) as cache:
        cache.set("key", b"x" * 1000)
        with pytest.raises(StorageError, match=r"1001 bytes.*max_value \(1000\)"):
            cache.set("key", b"x" * 1001)
        with pytest.raises(StorageError, match="max_value"):
            cache.set_many({"key": b"x" * 1001})
        assert cache.get("key") == b"x" * 1000


def test_what_the_server_finds_too_large_is_said(settings: MemcachedSettings) -> None:
    with _open(msgspec.structs.replace(settings, max_value=5_000_000)) as cache:
        with pytest.raises(StorageError, match="max_value"):
            cache.set("key", b"x" * 4_000_000)
        cache.set("key", b"small")
        assert cache.get("key") == b"small"


def test_the_largest_value_of_the_defaults_fits_a_server_with_defaults(
    settings: MemcachedSettings,
) -> None:
    with _open(settings) as cache:
        cache.set("k" * 200, b"x" * settings.max_value)
        assert cache.get("k" * 200) == b"x" * settings.max_value


def test_a_time_to_live_is_kept_to_fractions_of_a_second(
    settings: MemcachedSettings, now: list[float]
) -> None:
    with _open(settings, lambda: now[0]) as cache:
        cache.set("key", b"value", ttl=0.25)
        now[0] += 0.2
        assert cache.get("key") == b"value"
        now[0] += 0.1
        assert cache.get("key") is None
        assert not cache.delete("key")
        assert not cache.touch("key", 10)
        assert cache.add("key", b"another")


def test_a_time_to_live_above_thirty_days_is_no_date(
    settings: MemcachedSettings, now: list[float]
) -> None:
    with _open(settings, lambda: now[0]) as cache:
        cache.set("key", b"value", ttl=60 * 86_400)
        now[0] += 59 * 86_400
        assert cache.get("key") == b"value"
        now[0] += 2 * 86_400
        assert cache.get("key") is None


def test_clearing_leaves_what_others_keep_on_the_server(settings: MemcachedSettings) -> None:
    other = msgspec.structs.replace(settings, namespace=f"{settings.namespace}-other")
    with _open(settings) as cache, _open(other) as bystander, _open(settings) as fellow:
        cache.set("key", b"1")
        bystander.set("key", b"2")
        cache.clear()
        assert cache.get("key") is None
        assert fellow.get("key") is None
        assert bystander.get("key") == b"2"


def test_an_entry_of_another_layout_is_absent(settings: MemcachedSettings) -> None:
    host, _, port = settings.servers[0].rpartition(":")
    with _open(settings) as cache:
        cache.set("key", b"value")
        raw = Client((host, int(port)), default_noreply=False)
        raw.set(cache._name("key"), b"not ours")
        raw.close()
        assert cache.get("key") is None


def test_a_call_waits_for_a_connection_no_longer_than_set(
    silent_server: tuple[str, threading.Event],
) -> None:
    address, connected = silent_server
    settings = MemcachedSettings(servers=(address,), connections=1, connection_wait=0.05, timeout=1)

    def occupy() -> None:
        with contextlib.suppress(StorageError):
            cache.ping()

    with _open(settings) as cache:
        first = threading.Thread(target=occupy)
        first.start()
        assert connected.wait(20)
        with pytest.raises(StorageBusy, match=r"\[memcached\] connections"):
            cache.get("key")
        first.join()
