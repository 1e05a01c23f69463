"""What the backend declares it can do, told without importing its driver."""

from __future__ import annotations

STREAM = frozenset(
    {
        "ordered-by-key",
        "consumer-groups",
        "wake-up",
        "retention",
        "multi-host",
        "persistent",
    }
)
