"""What each backend declares it can do, told without importing its driver."""

from __future__ import annotations

# Not ``lru``: which entries leave first is the server's maxmemory-policy, not ours.
CACHE = frozenset({"ttl", "atomic-add", "atomic-incr", "touch", "shared", "multi-host"})
# Not ``ephemeral``: it carries no messages of actors that are not durable.
QUEUE = frozenset({"wake-up", "multi-host"})
