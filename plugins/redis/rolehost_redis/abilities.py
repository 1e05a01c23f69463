"""What each backend declares it can do, told without importing its driver."""

from __future__ import annotations

# Not ``lru``: which entries leave first is the server's maxmemory-policy, not ours.
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
