"""Decodes JSON from clients, with one nesting limit and one encoding."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec

#: Maximum nesting of arrays and objects. Python's recursion limit depends on its version and on the
#: depth of the stack.
MAX_DEPTH = 200

#: Strings in JSON, in which brackets do not count. Possessive quantifiers and the optional last
#: quote prevent backtracking, so the search is linear in the length of the body.
_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_OTHERS = bytes(set(range(256)) - set(_STEPS))


def load_json(body: bytes | str, kind: Any = Any) -> Any:
    """Decode JSON that comes from a client or another program.

    Args:
        body: JSON as text or UTF-8.
        kind: any type that msgspec can decode.

    Raises:
        msgspec.ValidationError: a ValueError; the body is JSON but not valid for ``kind``.
        ValueError: the body is not JSON, not UTF-8, or nested deeper than 200 levels. The message
            may be shown to the client.
    """
    if isinstance(body, str):
        body = body.encode()
    if is_deeper(body, MAX_DEPTH):
        raise ValueError(f"JSON is nested deeper than {MAX_DEPTH} levels")
    try:
        if not body.isascii():
            body.decode()  # msgspec does not check strings that it skips
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise ValueError(f"JSON is not UTF-8: {error.reason} (byte {error.start})") from None


def is_deeper(body: bytes, levels: int) -> bool:
    """Return whether arrays and objects in JSON are nested deeper than ``levels``."""
    # PERF: almost every body has fewer opening brackets than the limit.
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    brackets = _TEXTS.sub(b"", body).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels
