"""A cache that forgets everything at once: the smallest backend that keeps the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rolehost.api import Cache, CapabilityMissing


class ForgetfulCache(Cache):
    """Never holds anything, which a cache may do at any moment."""

    capabilities = frozenset()

    def get(self, key: str) -> bytes | None:
        """Return None."""
        return None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Drop the value."""

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Raise: the cache cannot detect absence."""
        raise CapabilityMissing("atomic-add")

    def delete(self, key: str) -> bool:
        """Return False: the key did not exist."""
        return False

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return nothing."""
        return {}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Drop the values."""

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Refuse: nothing is kept to be counted."""
        raise CapabilityMissing("atomic-incr")

    def touch(self, key: str, ttl: float | None) -> bool:
        """Refuse: nothing is kept to be touched."""
        raise CapabilityMissing("touch")

    def clear(self) -> None:
        """Do nothing."""

    def ping(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Do nothing."""
