"""How a namespace of the cache behaves."""

from __future__ import annotations

from typing import Literal, TypedDict

import msgspec

#: How values become bytes; ``raw`` is for values that are bytes.
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
    """What :meth:`rolehost.api.Services.caching` takes besides name and type.

    Attributes:
        ttl: seconds for which a value is fresh; None keeps it until the cache needs the room.
        stale: seconds beyond ``ttl`` for which
            :meth:`~rolehost.caching.Caching.get_or_compute` may serve a value while another is
            computed, or when computing one fails.
        none_ttl: as ``ttl``, for a computed None; None treats it like every other value, 0
            does not keep it.
        serializer: how values become bytes.
        strict: True: a cache that is away raises :class:`~rolehost.errors.StorageUnavailable`
            from every call, for values that must not be missed.
        patience: seconds for which others wait for the one that computes a value; then they
            compute it themselves.
        eagerness: how early a value is computed anew before it ends: 1.0 by about the time
            that computing took, 0.0 never.
        invalidate_within: seconds after which :meth:`~rolehost.caching.Caching.invalidate`
            is seen by other processes at the latest.
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
        """Refuse numbers that mean nothing."""
        if self.ttl is not None and not self.ttl > 0:
            raise ValueError(f"ttl must be positive or None, not {self.ttl}")
        for name in ("stale", "patience", "eagerness", "invalidate_within"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)}")
        if self.none_ttl is not None and not self.none_ttl >= 0:
            raise ValueError(f"none_ttl must not be negative: {self.none_ttl}")
        if self.patience == 0:
            raise ValueError("patience must be positive: the lock of a computation ends after it")
