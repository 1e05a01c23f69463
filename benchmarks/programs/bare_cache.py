"""Read and write the cache with the bare client library, then with msgspec added."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import msgspec

from benchmarks.programs.order import KEYS, TTL, Order, rate

Get = Callable[[str], "bytes | None"]
Set = Callable[[str, bytes], object]


def redis(url: str) -> tuple[Get, Set]:
    """redis-py with its defaults."""
    from redis import Redis

    client = Redis.from_url(url)
    return client.get, lambda key, data: client.set(key, data, ex=TTL)


def memcached(url: str) -> tuple[Get, Set]:
    """pymemcache's thread-safe client, which waits for each answer."""
    from pymemcache.client.base import PooledClient

    client = PooledClient(url, no_delay=True, timeout=2, default_noreply=False)
    return client.get, lambda key, data: client.set(key, data, TTL)


def main(kind: str, url: str, count: int) -> None:
    """Print calls per second of each kind."""
    get, put = {"redis": redis, "memcached": memcached}[kind](url)
    value = Order()
    data = msgspec.msgpack.encode(value)
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Order).decode

    def typed_get(key: str) -> Order | None:
        found = get(key)
        return None if found is None else decode(found)

    for key in KEYS:
        put(key, data)
    found = {
        "get": rate(count, get),
        "set": rate(count, lambda key: put(key, data)),
        "typed-get": rate(count, typed_get),
        "typed-set": rate(count, lambda key: put(key, encode(value))),
    }
    found["computed"] = found["typed-get"]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
