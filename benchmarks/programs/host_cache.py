"""Read and write the host's cache: the storage kind, and the layer above it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
from rolehost.api import PluginInfo, hookimpl

from benchmarks.programs.order import KEYS, TTL, Order, rate
from benchmarks.programs.worker import started


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Require the measured storage; this module is the plugin of its deployment."""
    return PluginInfo(api=1, requires=("database", "cache"))


def main(file: Path, count: int) -> None:
    """Print calls per second of each kind."""
    with started(file) as process:
        services = process.services
        cache, value = services.cache, Order()
        data = msgspec.msgpack.encode(value)
        orders = services.caching("orders", Order, ttl=TTL)
        cache.set_many(dict.fromkeys(KEYS, data), TTL)
        found = {
            "get": rate(count, cache.get),
            "set": rate(count, lambda key: cache.set(key, data, TTL)),
        }
        orders.set_many(dict.fromkeys(KEYS, value))
        found |= {
            "typed-get": rate(count, orders.get),
            "typed-set": rate(count, lambda key: orders.set(key, value)),
        }
        orders.invalidate()
        for key in KEYS:
            orders.get_or_compute(key, Order)
        found["computed"] = rate(count, lambda key: orders.get_or_compute(key, Order))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
