"""Objects that a process creates on first use and closes in reverse order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Singletons:
    """The objects of one process by key: a name or a type. Thread-safe."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}
        self._lock = threading.RLock()
        self._closers: list[tuple[str, Callable[[], None]]] = []

    def get(
        self, key: Any, factory: Callable[[], T], close: Callable[[T], None] | None = None
    ) -> T:
        """Return the object of a key; the first call creates it."""
        found: T | None = self.made.get(key)
        if found is not None:  # PERF: without the lock
            return found
        with self._lock:
            if key not in self.made:
                made = factory()
                if close is not None:
                    name = key if isinstance(key, str) else key.__qualname__
                    self._closers.append((name, partial(close, made)))
                self.made[key] = made
            return cast("T", self.made[key])

    def close(self) -> None:
        """Close the objects in reverse order; errors are logged. Idempotent."""
        while True:
            with self._lock:
                if not self._closers:
                    return
                name, close = self._closers.pop()
            try:
                close()
            except Exception:
                log.exception("closing failed", service=name)
