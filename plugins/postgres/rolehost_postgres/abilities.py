"""The capabilities of each backend, in a separate module: reading them imports no driver."""

from __future__ import annotations

DATABASE = frozenset({"transactions", "skip-locked", "multi-host", "persistent"})
QUEUE = frozenset({"wake-up", "multi-host"})
