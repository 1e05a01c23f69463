"""Storage kind ``cache``: values that may be lost at any moment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar


class Cache(ABC):
    """A cache of bytes by key. Thread-safe.

    Keys are non-empty text of at most 200 characters without control characters; values are
    bytes. ``ttl`` is in seconds: None means no expiry, a value ≤ 0 raises ValueError. A call
    that needs an undeclared capability raises
    :class:`~rolehost.errors.CapabilityMissing`.
    """

    #: What this backend can do: names of ``CAPABILITIES["cache"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store a value, replacing what was there."""

    @abstractmethod
    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store a value only when the key is absent; say whether it was stored."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Remove a key; say whether it was there."""

    @abstractmethod
    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those keys that are present."""

    @abstractmethod
    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Store several values with one time to live."""

    @abstractmethod
    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add to a decimal counter, starting at 0, and return its new value.

        ``ttl`` applies when this call creates the counter. A negative ``by`` subtracts.

        Raises:
            ValueError: the key holds something that is no decimal number.
        """

    @abstractmethod
    def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of an entry anew; say whether the entry was there."""

    @abstractmethod
    def clear(self) -> None:
        """Drop every entry of this cache."""

    @abstractmethod
    def ping(self) -> None:
        """Return when the cache answers.

        Raises:
            StorageUnavailable: it does not; waiting may help.
            StorageRefused: it does, and refuses what the deployment says.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections. Idempotent, never raises."""
