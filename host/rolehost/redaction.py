"""The one rule by which secrets and resolved references are kept out of what the host writes.

A deployment reports here, when it is read, which texts came from references (``${file:…}``,
``${NAME}``) and which are secrets. Every error of the host, every problem, every line of the log
and every listing passes through :func:`masked`, which replaces these texts by asterisks. A value
that is known to belong to such a setting is not printed at all: see
:class:`rolehost.deployment.Origin`.

Of the standard library alone, because the supervisor imports it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

#: Stands for a text that is not shown.
HIDDEN = "********"

#: Characters of the shortest text that is replaced; shorter ones would be found by chance.
SHORTEST = 4

#: Characters from which on a text is replaced inside of longer words too.
ANYWHERE = 12

#: What a variable may hold without being hidden everywhere: a word, a number, a path. Such a text
#: is part of many messages that have nothing to do with the variable.
_PLAIN = re.compile(r"[A-Za-z_-]+|[0-9.]+|\.{0,2}/.*", re.DOTALL)

#: Passwords that everybody knows, and names of engines that are often their passwords. They hide
#: nothing, and are words of many messages.
_COMMON = frozenset(
    [
        "admin",
        "changeme",
        "default",
        "guest",
        "kafka",
        "memcached",
        "password",
        "postgres",
        "redis",
        "rolehost",
        "root",
        "secret",
        "test",
        "token",
        "user",
    ]
)

#: Texts by the one that reported them, the longest first.
_reported: dict[str, tuple[str, ...]] = {}


def hide(owner: str, secrets: Iterable[str], variables: Iterable[str] = ()) -> None:
    """Replace these texts from now on, in this process.

    Args:
        owner: who reports them; its earlier report is forgotten.
        secrets: texts of secrets and of files; of a URL, its password too.
        variables: texts of environment variables. One that is a word, a number or a path is
            not hidden.
    """
    texts = {*secrets, *(text for text in variables if not _PLAIN.fullmatch(text))}
    texts |= {part for text in texts for part in _passwords(text)}
    # As a part of JSON, of a literal, and of lines that were joined.
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text)[1:-1] for text in texts}
    texts |= {" ".join(text.split()) for text in texts}
    texts = {text for text in texts if len(text) >= SHORTEST and text not in _COMMON}
    kept = sorted(texts, key=len, reverse=True)
    _reported.pop(owner, None)
    if kept:
        _reported[owner] = tuple(kept)


def hides() -> bool:
    """Say whether any text is to be replaced."""
    return bool(_reported)


def masked(text: str) -> str:
    """Return a text without what was reported to :func:`hide`."""
    for texts in tuple(_reported.values()):
        for each in texts:
            if each in text:
                text = without(text, (each,))
    return text


def without(text: str, hidden: Iterable[str]) -> str:
    """Return a text in which asterisks stand for other texts; short ones only as whole words."""
    for each in hidden:
        if len(each) >= ANYWHERE:
            text = text.replace(each, HIDDEN)
        elif each:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", HIDDEN, text)
    return text


def _passwords(text: str) -> set[str]:
    """Return the password in a URL, as it is written and as it is meant."""
    try:
        password = urlsplit(text).password if "://" in text else None
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
