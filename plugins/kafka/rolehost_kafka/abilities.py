"""The capabilities of the backend, in a separate module: reading them imports no driver."""

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
