"""Which values of a namespace count: invalidating begins a new generation of its keys."""

from __future__ import annotations

import secrets
import threading
import time

from rolehost.storage import Cache


class Generation:
    """The generation that this process knows of, asked anew from time to time. Thread-safe.

    It is kept in the cache beside the values.

    Args:
        cache: the backend.
        namespace: whose it is.
        within: seconds after which it is asked anew.
    """

    def __init__(self, cache: Cache, namespace: str, within: float) -> None:
        self._cache = cache
        self._namespace = namespace
        self._key = f"{namespace}!"
        self._keep = within
        self._lock = threading.Lock()
        self._prefix = ""
        self._until = 0.0
        self._distrusted = False

    def prefix(self) -> str:
        """Return what every key of the present generation begins with.

        Raises:
            StorageError: the cache is away.
        """
        if time.monotonic() >= self._until:
            with self._lock:
                if self._distrusted:
                    self._begin()
                elif time.monotonic() >= self._until:
                    self._remember(self._ask())
        return self._prefix

    def begin(self) -> None:
        """Begin a new one: no value of the former is found again.

        Raises:
            StorageError: the cache is away.
        """
        with self._lock:
            self._begin()

    def distrust(self) -> None:
        """Begin a new one before the next use: a write was lost, what it replaced is wrong."""
        with self._lock:
            self._distrusted = True
            self._until = 0.0

    def _begin(self) -> None:
        fresh = secrets.token_hex(4)
        self._cache.set(self._key, fresh.encode())
        self._distrusted = False
        self._remember(fresh)

    def _ask(self) -> str:
        """Return the generation of the cache; begin one when it forgot.

        A forgotten one is never guessed again, for old values would be back.
        """
        known = self._cache.get(self._key)
        if known is None:
            fresh = secrets.token_hex(4).encode()
            if "atomic-add" in self._cache.capabilities:
                self._cache.add(self._key, fresh)
            else:
                self._cache.set(self._key, fresh)
            known = self._cache.get(self._key) or fresh
        return known.decode()

    def _remember(self, generation: str) -> None:
        self._prefix = f"{self._namespace}:{generation}"
        self._until = time.monotonic() + self._keep
