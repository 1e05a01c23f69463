"""Texts from outside, made such that every database takes them."""

from __future__ import annotations

import hashlib

from rolehost.api.values import LONGEST_TEXT

#: Most characters of an error that is kept with a job or an event.
LONGEST_ERROR = 4000


def bounded(text: str, most: int = LONGEST_ERROR) -> str:
    """Return a text of at most about ``most`` characters: the begin and the end of a long one."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … ({len(text)} characters) … {text[-end:]}"


def storable(text: str) -> str:
    """Return a text without what some database refuses: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def indexable(text: str) -> str:
    """Return a storable text that fits in an index; a long one ends in its digest."""
    if len(text) > LONGEST_TEXT:
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
        text = f"{text[: LONGEST_TEXT - 50]} {digest}"
    return storable(text)
