"""The capabilities of the backend, in a separate module: reading them imports no driver."""

from __future__ import annotations

CACHE = frozenset({"ttl", "atomic-add", "atomic-incr", "touch", "lru", "shared", "multi-host"})
