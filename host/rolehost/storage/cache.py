# ruff: noqa: ARG002 - a call that refuses looks at no argument
"""Storage kind ``cache``: values that may be lost at any moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar, NamedTuple

from rolehost.errors import CapabilityMissing
from rolehost.storage.client import StorageClient


class Quota(NamedTuple):
    """What :meth:`Cache.hit` answers.

    Attributes:
        allowed: whether the hit is within the limit; one that is not counts for nothing.
        remaining: how many hits more would be allowed at this moment.
        retry_after: seconds after which a hit like this one is allowed; 0.0 when it was.
    """

    allowed: bool
    remaining: int
    retry_after: float


class Lease(NamedTuple):
    """A lock that is held; only this value renews and releases it.

    Attributes:
        name: name of the lock.
        token: rises with every lease of the lock, so whoever is written to under it can refuse
            a number lower than one it has seen: the writer has lost its lease since.
    """

    name: str
    token: int


class Cache(StorageClient):
    """A cache of bytes by key. Thread-safe.

    Keys are non-empty text of at most 200 characters without control characters; so are tags
    and names of limits and locks, which share nothing with keys. Values are bytes. ``ttl`` is in
    seconds: None means no expiry, a value that is not above 0 raises ValueError.

    Errors, the same of every call:

    - ValueError: a key, value or number that no cache takes; nothing was asked of the server.
    - :class:`~rolehost.errors.CapabilityMissing`: the call needs what is not declared.
    - :class:`~rolehost.errors.StorageBusy`: no connection became free in time, or others
      changed the entry all the time; nothing was done.
    - :class:`~rolehost.errors.StorageUnavailable`: no answer came within the backend's
      time-out, or the server refuses for now. A write may have been done, once at most: no
      backend repeats what would count twice.
    - :class:`~rolehost.errors.StorageRefused`: the server refuses what the deployment says.
    - another :class:`~rolehost.errors.StorageError`: this value or command is refused, such as
      a value that is too large; repeating it cannot help.

    The layer above, :class:`rolehost.caching.Caching`, makes misses of most of them.
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
        """Drop every entry of this cache; limits and locks stay."""

    def set_tagged(
        self, key: str, value: bytes, tags: Collection[str], ttl: float | None = None
    ) -> None:
        """Store a value that :meth:`drop_tagged` finds by each of these tags.

        An entry that is set anew has the tags of the last time; no other call changes them.
        """
        raise self._missing("tags")

    def drop_tagged(self, tags: Collection[str]) -> int:
        """Remove every entry that has one of these tags; return how many were there."""
        raise self._missing("tags")

    def hit(self, name: str, limit: int, period: float, cost: int = 1) -> Quota:
        """Count one hit, or several at once, unless that is more than a limit allows; atomic.

        The generic cell rate algorithm (ITU-T I.371): up to ``limit`` at once, and one more
        each ``period / limit`` seconds. A client that waits ``retry_after`` is served.

        Args:
            name: of what is limited, such as ``login:10.0.0.1``; always with the same limit.
            limit: hits in a period, at least 1.
            period: seconds, above 0.
            cost: hits that this one counts for, 1 to ``limit``; all of them or none.
        """
        raise self._missing("rate-limit")

    def lock(self, name: str, ttl: float) -> Lease | None:
        """Take a lock for ``ttl`` seconds; None when somebody holds it. Never waits.

        It ends by itself, also under a holder that is merely slow, and a cache may lose it:
        what must not happen twice is protected by whoever checks the token, not by the lock.
        """
        raise self._missing("locks")

    def renew(self, lease: Lease, ttl: float) -> bool:
        """Hold a lock for ``ttl`` seconds from now; False when it is lost, and stays so."""
        raise self._missing("locks")

    def release(self, lease: Lease) -> bool:
        """Give a lock back; False when it was lost already. Never releases another's."""
        raise self._missing("locks")

    def _missing(self, capability: str) -> CapabilityMissing:
        return CapabilityMissing(f"{type(self).__name__} does not declare {capability!r}")
