"""What the backend declares it can do, told without importing its driver."""

from __future__ import annotations

CACHE = frozenset({"ttl", "atomic-add", "atomic-incr", "touch", "lru", "shared", "multi-host"})
