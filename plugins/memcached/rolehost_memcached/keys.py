"""Keys of the host as memcached allows them: at most 250 bytes, no blanks, ASCII."""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import quote

#: Most bytes of a key that memcached takes.
LONGEST = 250
#: What is not percent-encoded, beside letters and digits, and keys of nothing else.
_SAFE = "/:;,.?&=@+!$*()~-_|<>{}[]"
_PLAIN = re.compile(f"[A-Za-z0-9{re.escape(_SAFE)}]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check(key: str) -> None:
    """Refuse what is no cache key of the host.

    Raises:
        ValueError: it is empty, longer than 200 characters, or has control characters.
    """
    if not key or len(key) > 200 or _CONTROL.search(key):
        raise ValueError(
            f"a cache key has 1 to 200 characters and no control characters, not {key!r}"
        )


def encode(prefix: str, key: str) -> str:
    """Return the key under which memcached keeps an entry.

    What memcached does not take is percent-encoded; what is too long then is hashed. The two
    are told apart by the sign before them, so that they cannot meet.

    Raises:
        ValueError: it is no key; see :func:`check`.
    """
    readable = f"{prefix}={key}"
    if len(readable) <= LONGEST and len(key) <= 200 and _PLAIN.fullmatch(key):
        return readable
    check(key)
    readable = f"{prefix}={quote(key, safe=_SAFE, errors='surrogatepass')}"
    if len(readable) <= LONGEST:
        return readable
    return f"{prefix}#{sha256(key.encode(errors='surrogatepass')).hexdigest()}"
