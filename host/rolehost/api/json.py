"""JSON of others: one limit of nesting and one encoding, on every way in."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec

#: Deepest nesting of arrays and objects in JSON that is taken. What Python itself bears differs
#: between its versions and with the depth of the caller's stack.
DEEPEST = 200

#: Texts of JSON, in which brackets mean nothing. Possessive, and content with a missing end, so
#: that no body takes more than one pass.
_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_OTHERS = bytes(set(range(256)) - set(_STEPS))


def load_json(body: bytes | str, kind: Any = Any) -> Any:
    """Decode JSON that somebody else wrote.

    Args:
        body: the text.
        kind: anything msgspec decodes to.

    Raises:
        msgspec.ValidationError: it is JSON of another form; a ValueError, too.
        ValueError: it is no JSON, no UTF-8, or nested deeper than 200 levels; the message is for
            the client.
    """
    if isinstance(body, str):
        body = body.encode()
    if _is_deep(body):
        raise ValueError(f"JSON is nested deeper than {DEEPEST} levels")
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into what it skips
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise ValueError(f"JSON is no UTF-8: {error.reason} (byte {error.start})") from None


def _is_deep(body: bytes) -> bool:
    # PERF: almost every body has fewer brackets than may be open at once.
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    brackets = _TEXTS.sub(b"", body).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEEPEST
