"""The capabilities of the backend, apart so that no driver is imported to read them."""

from __future__ import annotations

CACHE = frozenset({"ttl", "atomic-add", "atomic-incr", "touch", "lru", "shared", "multi-host"})
