"""The capabilities of each backend, apart so that no driver is imported to read them."""

from __future__ import annotations

DATABASE = frozenset({"transactions", "skip-locked", "multi-host", "persistent"})
QUEUE = frozenset({"wake-up", "multi-host"})
