"""What each backend declares it can do, told without importing it or its driver."""

from __future__ import annotations

DATABASE = frozenset({"transactions", "skip-locked", "multi-host", "persistent"})
QUEUE = frozenset({"wake-up", "multi-host"})
