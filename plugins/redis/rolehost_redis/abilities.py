"""The capabilities of each backend, apart so that no driver is imported to read them."""

from __future__ import annotations

# Not ``lru``: the server's maxmemory-policy decides which entries are removed first.
CACHE = frozenset(
    {
        "ttl",
        "atomic-add",
        "atomic-incr",
        "touch",
        "tags",
        "rate-limit",
        "locks",
        "shared",
        "multi-host",
    }
)
QUEUE = frozenset({"wake-up", "ephemeral", "multi-host", "persistent"})
