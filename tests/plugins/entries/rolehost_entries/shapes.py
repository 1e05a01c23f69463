"""Types of request bodies and events."""

from __future__ import annotations

from msgspec import Struct

#: Events of entries that were posted over HTTP.
ACCEPTED = "entries.accepted"
#: Records of others.
INCOMING = "entries.incoming"


class Entry(Struct):
    """Body of a POST.

    Attributes:
        entry: its name, unique among all.
        key: ordering key; entries of one key are in order.
        hold: seconds for which the job that settles it works on.
    """

    entry: str
    key: str
    hold: float = 0.0


class Numbered(Struct):
    """Payload of both topics.

    Attributes:
        entry: its name.
        key: ordering key.
        seq: its place among the entries of the key, from 1.
    """

    entry: str
    key: str
    seq: int
