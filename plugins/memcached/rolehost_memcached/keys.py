"""Encodes keys for memcached, which allows at most 250 bytes of ASCII without blanks."""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import quote

#: Maximum bytes of a key in memcached.
MAX_KEY = 250
#: Characters that are not percent-encoded, besides letters and digits; keys with no others.
_SAFE = "/:;,.?&=@+!$*()~-_|<>{}[]"
_PLAIN = re.compile(f"[A-Za-z0-9{re.escape(_SAFE)}]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check(key: str) -> None:
    """Raise for text that is not a cache key.

    Raises:
        ValueError: it is empty, longer than 200 characters, or has control characters.
    """
    if not key or len(key) > 200 or _CONTROL.search(key):
        raise ValueError(
            f"a cache key has 1 to 200 characters and no control characters, not {key!r}"
        )


def encode(prefix: str, key: str) -> str:
    """Return the key of an entry in memcached.

    Characters that memcached refuses are percent-encoded; the result is hashed if it is too long.
    A readable key and a hash cannot be equal, because the sign before them differs.

    Raises:
        ValueError: ``key`` is not a cache key; see :func:`check`.
    """
    readable = f"{prefix}={key}"
    if len(readable) <= MAX_KEY and len(key) <= 200 and _PLAIN.fullmatch(key):
        return readable
    check(key)
    readable = f"{prefix}={quote(key, safe=_SAFE, errors='surrogatepass')}"
    if len(readable) <= MAX_KEY:
        return readable
    return f"{prefix}#{sha256(key.encode(errors='surrogatepass')).hexdigest()}"
