"""The names of wake-ups, as payloads of notifications, whose size is limited."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

#: The channel of all wake-ups of a database.
CHANNEL = "rolehost"
#: Most bytes of a payload; the server takes less than 8000
#: (https://www.postgresql.org/docs/current/sql-notify.html).
_MAX_PAYLOAD = 7000
#: A longer name is sent as its digest.
_MAX_NAME = 200
_SEPARATOR = "\n"


def token(name: str) -> str:
    """Return the token of a name in a payload; the same in every process."""
    if _SEPARATOR in name or "\0" in name or len(name.encode()) > _MAX_NAME:
        return "#" + hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
    return name


def payloads(names: Iterable[str]) -> Iterator[str]:
    """Put names into as few payloads as possible."""
    tokens: list[str] = []
    size = 0
    for each in sorted(token(name) for name in names):
        length = len(each.encode()) + 1
        if tokens and size + length > _MAX_PAYLOAD:
            yield _SEPARATOR.join(tokens)
            tokens, size = [], 0
        tokens.append(each)
        size += length
    if tokens:
        yield _SEPARATOR.join(tokens)


def tokens_of(payload: str) -> frozenset[str]:
    """Return the tokens of a payload."""
    return frozenset(payload.split(_SEPARATOR))
