"""The capabilities of the backend, apart so that no driver is imported to read them."""

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
