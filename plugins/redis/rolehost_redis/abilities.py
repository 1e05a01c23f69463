"""The capabilities of each backend, in a separate module: reading them imports no driver."""

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
