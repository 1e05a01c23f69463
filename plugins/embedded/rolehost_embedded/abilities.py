"""The capabilities of each backend, in a separate module: reading them imports no driver."""

from __future__ import annotations

DATABASE = frozenset({"transactions", "persistent"})
CACHE = frozenset(
    {"ttl", "atomic-add", "atomic-incr", "touch", "tags", "rate-limit", "locks", "lru"}
)
QUEUE = frozenset({"wake-up", "ephemeral", "persistent"})
STREAM = frozenset({"ordered-by-key", "consumer-groups", "wake-up", "retention", "persistent"})
