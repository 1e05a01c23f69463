"""Texts from outside, made such that every database takes them."""

from __future__ import annotations

import hashlib

#: Most characters of a text that is part of an index: PostgreSQL's entries take 2704 bytes.
_LONGEST = 600


def storable(text: str) -> str:
    """Return a text without what some database refuses: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def indexable(text: str) -> str:
    """Return a storable text that fits in an index; a long one ends in its digest."""
    if len(text) > _LONGEST:
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
        text = f"{text[: _LONGEST - 50]} {digest}"
    return storable(text)
