"""Redaction of secrets and resolved references in all output of the host.

Reading a deployment registers its secrets and the texts of its references (``${file:…}``,
``${NAME}``). All output passes through :func:`masked`. This module imports the standard library
only, because the supervisor imports it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

HIDDEN = "********"

#: Shorter texts are not replaced, because they would match by chance.
MIN_LENGTH = 4

#: Shorter texts are replaced only as whole words.
MIN_LENGTH_IN_WORDS = 12

#: Words, numbers and paths, which many unrelated messages contain.
_PLAIN = re.compile(r"[A-Za-z_-]+|[0-9.]+|\.{0,2}/.*", re.DOTALL)

#: Well-known passwords and names of servers: not secret, and frequent words in messages.
_COMMON = re.compile(
    "admin|changeme|default|guest|kafka|memcached|password|postgres|redis|rolehost|root|secret|test"
    "|token|user"
)

#: Owner → its texts, the longest first.
_texts_by_owner: dict[str, tuple[str, ...]] = {}


def hide(owner: str, secrets: Iterable[str], variables: Iterable[str] = ()) -> None:
    """Register the texts of an owner for :func:`masked`; they replace its earlier texts.

    If a text is a URL, its password is registered too. Variables that are words, numbers or paths
    are not registered.
    """
    texts = {*secrets, *(text for text in variables if not _PLAIN.fullmatch(text))}
    texts |= {part for text in texts for part in _passwords(text)}
    # The forms that the texts have in JSON, in a Python literal and in joined lines are hidden too.
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text)[1:-1] for text in texts}
    texts |= {" ".join(text.split()) for text in texts}
    texts = {text for text in texts if len(text) >= MIN_LENGTH and not _COMMON.fullmatch(text)}
    kept = sorted(texts, key=len, reverse=True)
    _texts_by_owner.pop(owner, None)
    if kept:
        _texts_by_owner[owner] = tuple(kept)


def has_secrets() -> bool:
    """Return whether there is any text to replace."""
    return bool(_texts_by_owner)


def masked(text: str) -> str:
    """Replace the texts of :func:`hide` with asterisks."""
    for texts in tuple(_texts_by_owner.values()):
        for each in texts:
            if each in text:
                text = mask_only(text, (each,))
    return text


def mask_only(text: str, hidden: Iterable[str]) -> str:
    """Replace ``hidden`` with asterisks; short texts only as whole words."""
    for each in hidden:
        if len(each) >= MIN_LENGTH_IN_WORDS:
            text = text.replace(each, HIDDEN)
        elif each:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", HIDDEN, text)
    return text


def _passwords(text: str) -> set[str]:
    """Return the password in a URL, encoded and decoded."""
    try:
        password = urlsplit(text).password if "://" in text else None
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
