# ruff: noqa: ARG002 - the default methods raise without using their arguments
"""Storage kind ``cache``: values that may be lost at any moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar, NamedTuple

from rolehost.errors import CapabilityMissing
from rolehost.storage.client import StorageClient


class Quota(NamedTuple):
    """The answer of :meth:`Cache.hit`.

    Attributes:
        allowed: whether the hit is within the limit. If not, it is not counted.
        remaining: how many more hits would be allowed now.
        retry_after: seconds after which a hit like this one is allowed; 0.0 if this hit is allowed.
    """

    allowed: bool
    remaining: int
    retry_after: float


class Lease(NamedTuple):
    """A lock that is held; only this value renews and releases the lock.

    Attributes:
        name: name of the lock.
        token: a fencing token: it rises with every lease of the lock. The resource that the lock
            protects can store the highest token that it has seen, and refuse a writer with a lower
            one, whose lease is lost.
    """

    name: str
    token: int


class Cache(StorageClient):
    """A cache of bytes by key. Thread-safe.

    Keys are non-empty text of at most 200 characters without control characters. Tags and the
    names of limits and locks have the same form, but are separate from keys. Values are
    bytes. ``ttl`` is in seconds: None means no expiry, and 0 or less raises ValueError.

    Every call may raise these errors:

    - ValueError: this key, value or number is invalid for every cache; no request was sent,
      except by :meth:`incr`.
    - :class:`~rolehost.errors.CapabilityMissing`: the backend does not declare the capability.
    - :class:`~rolehost.errors.StorageBusy`: no connection became free in time, or other callers
      kept changing the entry; nothing was done.
    - :class:`~rolehost.errors.StorageUnavailable`: no answer came within the backend's
      time-out, or the server refuses temporarily. A write may have been done, but at most once,
      because no backend repeats a call that would count twice.
    - :class:`~rolehost.errors.StorageRefused`: the server refuses the settings of the
      deployment.
    - another :class:`~rolehost.errors.StorageError`: the server refuses this value or command,
      for example because the value is too large. Repeating it cannot help.

    :class:`rolehost.caching.Caching`, the layer above, turns most of these errors into misses.
    """

    #: The capabilities of the backend: names of ``CAPABILITIES["cache"]``.
    capabilities: ClassVar[frozenset[str]]

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the value, or None if it is absent or expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store a value, and replace an old one."""

    @abstractmethod
    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store a value if the key is absent; return whether it was stored."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""

    @abstractmethod
    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values by key, without the keys that are absent."""

    @abstractmethod
    def set_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Store several values with one time to live."""

    @abstractmethod
    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add to a decimal counter, starting at 0, and return its new value.

        ``ttl`` applies if this call creates the counter. A negative ``by`` subtracts.

        Raises:
            ValueError: the value of the key is not a decimal number.
        """

    @abstractmethod
    def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of an entry again; return whether the entry was there."""

    @abstractmethod
    def clear(self) -> None:
        """Remove every entry of this cache; limits and locks stay."""

    def set_tagged(
        self, key: str, value: bytes, tags: Collection[str], ttl: float | None = None
    ) -> None:
        """Store a value with tags, for :meth:`drop_tagged`.

        A second call replaces the tags; no other call changes them.
        """
        raise self._missing("tags")

    def drop_tagged(self, tags: Collection[str]) -> int:
        """Remove every entry that has one of these tags; return how many there were."""
        raise self._missing("tags")

    def hit(self, name: str, limit: int, period: float, cost: int = 1) -> Quota:
        """Count one or several hits if the limit allows them; atomic.

        The generic cell rate algorithm (ITU-T I.371): up to ``limit`` at once, and one more
        each ``period / limit`` seconds. After ``retry_after`` seconds the hit is allowed.

        Args:
            name: name of the limit, for example ``login:10.0.0.1``. Every call for a name has
                the same ``limit`` and ``period``.
            limit: hits in a period, at least 1.
            period: seconds, above 0.
            cost: number of hits to count, 1 to ``limit``; all of them or none.
        """
        raise self._missing("rate-limit")

    def lock(self, name: str, ttl: float) -> Lease | None:
        """Take a lock for ``ttl`` seconds, or return None if it is held. Never waits.

        The lock expires even if its holder is only slow, and a cache may lose the lock. So the lock
        alone does not protect an action that must not happen twice: the resource that the action
        changes must check the token of the lease.
        """
        raise self._missing("locks")

    def renew(self, lease: Lease, ttl: float) -> bool:
        """Hold a lock for ``ttl`` seconds from now; False if it is lost, which is final."""
        raise self._missing("locks")

    def release(self, lease: Lease) -> bool:
        """Release a lock; False if it was lost already. The lock of another holder stays."""
        raise self._missing("locks")

    def _missing(self, capability: str) -> CapabilityMissing:
        return CapabilityMissing(f"{type(self).__name__} does not declare {capability!r}")
