"""The capabilities of each backend, in a separate module: reading them imports no driver."""

from __future__ import annotations

from importlib.util import find_spec

DATABASE = frozenset({"transactions"})
CACHE = frozenset(
    {"ttl", "atomic-add", "atomic-incr", "touch", "tags", "rate-limit", "locks", "shared"}
)
STREAM = frozenset({"ordered-by-key", "consumer-groups", "wake-up"})
#: Without ``ephemeral`` if Dramatiq is not installed; nothing is imported to find that out.
QUEUE = frozenset({"wake-up"}) | ({"ephemeral"} if find_spec("dramatiq") else frozenset())
