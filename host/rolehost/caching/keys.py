"""Keys of the cache: of a namespace's values, and of a function's arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

#: Most characters of a key of the storage kind ``cache``.
LONGEST = 200
#: What a namespace is made of; most characters leave room for the rest of a key.
_NAMESPACE = re.compile(r"[A-Za-z0-9._/<>-]{1,80}")
#: Types of arguments whose ``repr`` tells value and type.
_PLAIN = frozenset({str, int, bool, float, type(None)})
_encoder = msgspec.msgpack.Encoder(order="deterministic")


def check_namespace(namespace: str) -> None:
    """Refuse what is no name of a namespace.

    Raises:
        ValueError: it is empty, longer than 80 characters, or has others than those allowed.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(
            f"a namespace of the cache is 1 to 80 of the characters A-Z a-z 0-9 . _ / < > -, not"
            f" {namespace!r}"
        )


def digest(text: str) -> str:
    """Return 40 characters that stand for a text of any length."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()


def within(prefix: str, key: str) -> str:
    """Return a key that the cache takes; one that is too long or strange is hashed.

    The two are told apart by the sign before them, so that they cannot meet.

    Raises:
        ValueError: the key is empty.
    """
    if not key:
        raise ValueError("a key must not be empty")
    if len(prefix) + len(key) < LONGEST and key.isprintable():
        return f"{prefix}={key}"
    return f"{prefix}#{digest(key)}"


def of_arguments(arguments: Sequence[Any]) -> str:
    """Return a key for the arguments of a call; equal values of different types differ.

    Plain ones stay readable. All others are hashed as msgspec writes them: lists, dicts, sets,
    dates, Structs, dataclasses. Types are told apart within lists, tuples and dicts too, not
    within others.

    Raises:
        TypeError: one of them cannot be written.
    """
    if all(type(each) in _PLAIN for each in arguments):
        return f"({', '.join(map(repr, arguments))})"
    described = _encoder.encode((_types(arguments), arguments))
    return blake2b(described, digest_size=20).hexdigest()


def namespace_of(function: str) -> str:
    """Return the namespace of a function that names none, by its module and name."""
    return function if len(function) <= 80 else f"{function[-39:]}-{digest(function)}"


def _types(value: Any) -> Any:
    """Return the types that a value is made of, in its own shape."""
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (list, tuple)):
        return [name, [_types(each) for each in value]]
    if isinstance(value, dict):
        return [name, {key: _types(each) for key, each in value.items()}]
    return name
