"""How an entry is laid out in memcached: when it ends, then the value.

memcached counts time in whole seconds of its own clock, and forgets an entry's end when it is
written anew. So the end stands in the entry, to the millisecond, and memcached's own end is
only for giving the memory back.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

#: Told to memcached as the entry's flags: entries of another layout are not ours.
LAYOUT = 0x7268_0001
_END = struct.Struct(">Q")
#: Bytes that an entry has before its value.
HEAD = _END.size


class Entry(NamedTuple):
    """A value, and when it ends: milliseconds since the epoch, 0 for never."""

    value: bytes
    ends: int

    def server_expiry(self) -> int:
        """Return the whole second since the epoch at which memcached may drop it; 0 for never.

        A number above 30 days is taken by memcached as a time, not as a span.
        """
        return 0 if not self.ends else -(-self.ends // 1000) + 1


class Clock:
    """Tells when entries end.

    Args:
        now: returns seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def ends(self, ttl: float | None) -> int:
        """Return when something of this time to live ends, as an entry keeps it.

        Raises:
            ValueError: ``ttl`` is no positive number.
        """
        if ttl is None or ttl == math.inf:
            return 0
        if not ttl > 0:  # also refuses NaN
            raise ValueError(f"a time to live must be positive, not {ttl}")
        # memcached keeps times in 32 bits: what ends after 2106 does not end.
        ends = math.ceil((self._now() + ttl) * 1000)
        return ends if ends < 4_000_000_000_000 else 0

    def live(self, entry: Entry | None) -> Entry | None:
        """Return the entry unless it has ended."""
        if entry is None or (entry.ends and entry.ends <= self._now() * 1000):
            return None
        return entry


class EntrySerde:
    """Lays entries out for pymemcache; what is not ours reads as None."""

    def serialize(self, _key: Any, entry: Entry) -> tuple[bytes, int]:
        """Return the bytes that memcached keeps, and the flags."""
        return _END.pack(entry.ends) + entry.value, LAYOUT

    def deserialize(self, _key: Any, data: bytes, flags: int) -> Entry | None:
        """Return the entry that these bytes are."""
        if flags != LAYOUT or len(data) < HEAD:
            return None
        return Entry(data[HEAD:], _END.unpack_from(data)[0])
