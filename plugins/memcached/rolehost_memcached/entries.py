"""The layout of an entry in memcached: its end (when it expires), then the value.

memcached measures expiry in whole seconds with the server's clock, and every write replaces the
expiry. So the entry contains its end in milliseconds, and memcached's expiry only frees the
memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

#: The flags of an entry in memcached: entries of another layout are ignored.
LAYOUT = 0x7268_0001
_END = struct.Struct(">Q")
#: Bytes of an entry before its value.
HEAD = _END.size


class Entry(NamedTuple):
    """A value and its end: milliseconds since the epoch, 0 for never."""

    value: bytes
    ends: int

    def server_expiry(self) -> int:
        """Return the second since the epoch at which memcached may remove the entry; 0 for never.

        memcached takes a number above 30 days for a time, not for a duration.
        """
        return 0 if not self.ends else -(-self.ends // 1000) + 1


class Clock:
    """Calculates the ends of entries.

    Args:
        now: returns seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def ends(self, ttl: float | None) -> int:
        """Return the end of an entry that has this time to live from now on.

        Raises:
            ValueError: ``ttl`` is not a positive number.
        """
        if ttl is None or ttl == math.inf:
            return 0
        if not ttl > 0:  # also refuses NaN
            raise ValueError(f"a time to live must be positive, not {ttl}")
        # memcached's times have 32 bits and end in 2106: an end after October 2096 becomes "never".
        ends = math.ceil((self._now() + ttl) * 1000)
        return ends if ends < 4_000_000_000_000 else 0

    def live(self, entry: Entry | None) -> Entry | None:
        """Return the entry unless it has ended."""
        if entry is None or (entry.ends and entry.ends <= self._now() * 1000):
            return None
        return entry


class EntrySerde:
    """Writes and reads entries for pymemcache; entries of another layout are None."""

    def serialize(self, _key: Any, entry: Entry) -> tuple[bytes, int]:
        """Return the bytes that memcached keeps, and the flags."""
        return _END.pack(entry.ends) + entry.value, LAYOUT

    def deserialize(self, _key: Any, data: bytes, flags: int) -> Entry | None:
        """Return the entry of these bytes."""
        if flags != LAYOUT or len(data) < HEAD:
            return None
        return Entry(data[HEAD:], _END.unpack_from(data)[0])
