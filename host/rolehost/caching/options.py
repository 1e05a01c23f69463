"""The options of a namespace of the cache."""

from __future__ import annotations

from typing import Literal, TypedDict

import msgspec

#: Formats of values; ``raw`` is for values that are bytes.
SerializerName = Literal["msgpack", "json", "raw"]


class CachingKeywords(TypedDict, total=False):
    """Keywords of :meth:`rolehost.api.Services.caching`: fields of :class:`CachingOptions`."""

    stale: float
    none_ttl: float | None
    serializer: SerializerName
    strict: bool
    patience: float
    eagerness: float
    invalidate_within: float


class CachingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of :meth:`rolehost.api.Services.caching`, besides name and type.

    Attributes:
        ttl: seconds for which a value is fresh. None keeps it until the cache needs the space.
        stale: seconds after ``ttl`` for which
            :meth:`~rolehost.caching.Caching.get_or_compute` may return the old value, while
            a new one is computed or if computing fails. Default 0.
        none_ttl: seconds for which the result None is fresh. None (the default): ``ttl`` applies.
            0: the result None is not cached.
        serializer: the format of the bytes: ``msgpack`` (default), ``json``, or ``raw`` for
            values that are bytes.
        strict: raise :class:`~rolehost.errors.StorageUnavailable` from every call if the cache
            is unavailable. Default False.
        patience: seconds for which callers wait for another caller to compute a value; then
            they compute the value themselves. Default 5.
        eagerness: how long before its expiry a value is computed again. 1.0 (the default):
            about as long as computing the value took. 0.0: not before its expiry.
        invalidate_within: maximum number of seconds until other processes see
            :meth:`~rolehost.caching.Caching.invalidate`. Default 1.
    """

    ttl: float | None = None
    stale: float = 0.0
    none_ttl: float | None = None
    serializer: SerializerName = "msgpack"
    strict: bool = False
    patience: float = 5.0
    eagerness: float = 1.0
    invalidate_within: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError if a number is out of range."""
        if self.ttl is not None and not self.ttl > 0:
            raise ValueError(f"ttl must be positive or None, not {self.ttl}")
        for name in ("stale", "patience", "eagerness", "invalidate_within"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)}")
        if self.none_ttl is not None and not self.none_ttl >= 0:
            raise ValueError(f"none_ttl must not be negative: {self.none_ttl}")
        if self.patience == 0:
            raise ValueError("patience must be positive: it is the lock's time-out")
