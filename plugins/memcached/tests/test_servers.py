from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import msgspec
import pytest
from rolehost.api import StorageRefused, StorageUnavailable
from rolehost_memcached.cache import MemcachedCache
from rolehost_memcached.settings import MemcachedSettings
from rolehost_testing.services import Server


def test_a_server_that_is_not_there_is_named_with_its_setting(closed_port: str) -> None:
    address = closed_port
    cache = MemcachedCache(MemcachedSettings(servers=(address,)))
    for call in (cache.ping, lambda: cache.get("key"), lambda: cache.set("key", b"value")):
        with pytest.raises(StorageUnavailable, match=r"\[memcached\] servers") as caught:
            call()
        assert address in str(caught.value)
        assert "\n" not in str(caught.value)
    cache.close()


def test_a_host_that_does_not_exist_is_named() -> None:
    cache = MemcachedCache(MemcachedSettings(servers=("no-such-host.invalid",)))
    with pytest.raises(StorageUnavailable, match=r"no-such-host\.invalid"):
        cache.ping()
    cache.close()


def test_what_is_no_memcached_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            while True:
                try:
                    client, _ = other.accept()
                except OSError:
                    return
                with client:
                    client.recv(100)
                    client.sendall(b"-ERR unknown command 'version'\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        cache = MemcachedCache(MemcachedSettings(servers=(address,)))
        with pytest.raises(StorageRefused, match="not memcached") as caught:
            cache.ping()
        other.shutdown(socket.SHUT_RDWR)
        thread.join()
        cache.close()
    assert (caught.value.backend, caught.value.setting) == ("memcached", "[memcached] servers")


def test_a_server_that_hangs_is_given_up_on(
    silent_server: tuple[str, threading.Event],
) -> None:
    cache = MemcachedCache(MemcachedSettings(servers=(silent_server[0],), timeout=0.05))
    with pytest.raises(StorageUnavailable, match="timed out"):
        cache.get("key")
    cache.close()


def test_another_server_takes_over_from_one_that_failed(
    settings: MemcachedSettings, closed_port: str
) -> None:
    cache = MemcachedCache(
        msgspec.structs.replace(settings, servers=(*settings.servers, closed_port))
    )
    failures = 0
    for number in range(50):
        try:
            cache.set(f"key {number}", b"value")
        except StorageUnavailable:
            failures += 1
    assert failures <= 2
    cache.set("key", b"value")
    assert cache.get("key") == b"value"
    cache.ping()
    cache.close()


def _of(server: Server) -> str:
    return server.url.removeprefix("memcached://").rstrip("/")


def test_when_one_of_several_stops_the_others_keep_their_entries_and_take_over_its_keys(
    start_server: Callable[..., Server],
) -> None:
    servers = [start_server("memcached") for _ in range(3)]
    settings = MemcachedSettings(
        servers=tuple(map(_of, servers)), clear_within=0.0, connect_timeout=0.5, retry_after=3600
    )
    cache, fellow = MemcachedCache(settings), MemcachedCache(settings)
    values = {f"key {number}": b"%d" % number for number in range(60)}
    cache.set_many(values)
    assert fellow.get_many(values) == values
    held = {_of(server): 0 for server in servers}
    for name in map(cache._name, values):
        held[cache._servers.server_of(name).name] += 1
    assert all(held.values()), "every server has some of them"
    servers[0].stop(immediate=True)
    with contextlib.suppress(StorageUnavailable):
        cache.get_many(values)  # finds that it is gone
    kept = cache.get_many(values)
    assert len(kept) == 60 - held[_of(servers[0])]
    assert all(values[key] == value for key, value in kept.items())
    cache.set_many(values)
    assert cache.get_many(values) == values
    assert cache.incr("counter") == 1
    cache.clear()
    assert cache.get_many(values) == {}
    cache.close()
    fellow.close()


def test_a_server_that_comes_back_with_its_memory_does_not_bring_back_what_was_cleared(
    start_server: Callable[..., Server],
) -> None:
    servers = [start_server("memcached") for _ in range(2)]
    settings = MemcachedSettings(
        servers=tuple(map(_of, servers)), clear_within=0.0, timeout=0.2, retry_after=0.01
    )
    cache = MemcachedCache(settings)
    values = {f"key {number}": b"old" for number in range(40)}
    cache.set_many(values)
    servers[0].freeze()
    while cache._servers.alive() == list(cache._servers._servers.values()):
        with contextlib.suppress(StorageUnavailable):
            cache.get_many(values)
    cache.clear()
    servers[0].thaw()
    while True:
        try:
            assert cache.get_many(values) == {}
            if len(cache._servers.alive()) == 2:
                break
        except StorageUnavailable:
            continue
    cache.set_many(values)
    assert cache.get_many(values) == values
    cache.close()


@pytest.mark.parametrize(
    "servers", [(), ("",), ("two words",), ("host:port",), ("h:0",), ("h:70000",), ("h", "h")]
)
def test_what_is_no_list_of_servers_is_refused(servers: tuple[str, ...]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"servers": servers}, MemcachedSettings)


@pytest.mark.parametrize("server", ["host", "host:1", "10.0.0.1:11211", "[::1]:1", "[::1]", "/s"])
def test_servers_are_hosts_with_ports_or_sockets(server: str) -> None:
    settings = msgspec.convert({"servers": [server]}, MemcachedSettings)
    MemcachedCache(settings).close()
