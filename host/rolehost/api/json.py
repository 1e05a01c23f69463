"""Decoding of JSON from clients: one limit of nesting and one encoding."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec

#: Deepest accepted nesting of arrays and objects. Python's own limit depends on its version and on
#: the depth of the stack.
DEEPEST = 200

#: Strings in JSON, in which brackets do not count. Possessive quantifiers and the optional last
#: quote keep the search linear in the length of the body.
_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_OTHERS = bytes(set(range(256)) - set(_STEPS))


def load_json(body: bytes | str, kind: Any = Any) -> Any:
    """Decode JSON that comes from a client or another program.

    Args:
        body: JSON as text or UTF-8.
        kind: any type that msgspec can decode.

    Raises:
        msgspec.ValidationError: a ValueError; it is JSON that is not valid for ``kind``.
        ValueError: it is not JSON, not UTF-8, or nested deeper than 200 levels. The message may be
            shown to the client.
    """
    if isinstance(body, str):
        body = body.encode()
    if _is_deep(body):
        raise ValueError(f"JSON is nested deeper than {DEEPEST} levels")
    try:
        if not body.isascii():
            body.decode()  # msgspec does not check the texts that it skips
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise ValueError(f"JSON is not UTF-8: {error.reason} (byte {error.start})") from None


def _is_deep(body: bytes) -> bool:
    # PERF: almost every body has fewer brackets than levels are allowed.
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    brackets = _TEXTS.sub(b"", body).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEEPEST
