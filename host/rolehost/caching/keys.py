"""Cache keys: for the values of a namespace, and for the arguments of a function."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from rolehost.storage import Cache

#: Maximum number of characters of a key of the storage kind ``cache``.
MAX_KEY_LENGTH = 200
#: At most 80 characters, which leaves room for the rest of a key.
_NAMESPACE = re.compile(r"[A-Za-z0-9._/<>-]{1,80}")
#: Types of arguments whose ``repr`` shows value and type.
_PLAIN = frozenset({str, int, bool, float, type(None)})
_encoder = msgspec.msgpack.Encoder(order="deterministic")


def check_namespace(namespace: str) -> None:
    """Raise ValueError if a text cannot be the name of a namespace."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(
            f"a namespace of the cache is 1 to 80 of the characters A-Z a-z 0-9 . _ / < > -, not"
            f" {namespace!r}"
        )


def digest(content: str | bytes) -> str:
    """Return a hash of 40 hexadecimal characters."""
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=20).hexdigest()


def join_key(prefix: str, key: str) -> str:
    """Return a key that the cache accepts; a key that is too long or not printable is hashed.

    A plain and a hashed key are never equal, because the character before them differs.
    """
    if not key:
        raise ValueError("a key must not be empty")
    if len(prefix) + len(key) < MAX_KEY_LENGTH and key.isprintable():
        return f"{prefix}={key}"
    return f"{prefix}#{digest(key)}"


def key_of_arguments(arguments: Sequence[Any]) -> str:
    """Return a key for the arguments of a call; equal values of different types differ.

    If all arguments are plain, the key is readable. Otherwise (lists, dicts, sets, dates, Structs,
    dataclasses) all arguments are encoded with msgspec and hashed, with the types of values inside
    lists, tuples and dicts.
    """
    if all(type(each) in _PLAIN for each in arguments):
        return f"({', '.join(map(repr, arguments))})"
    return digest(_encoder.encode((_types(arguments), arguments)))


def namespace_of(function: str) -> str:
    """Return the default namespace of a function, from its module and name."""
    return function if len(function) <= 80 else f"{function[-39:]}-{digest(function)}"


def _types(value: Any) -> Any:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (list, tuple)):
        return [name, [_types(each) for each in value]]
    if isinstance(value, dict):
        return [name, {key: _types(each) for key, each in value.items()}]
    return name


class Generation:
    """The generation of a namespace, a part of its keys: a new generation invalidates all values.

    The generation is stored in the cache, and read again every ``invalidate_within`` seconds.
    Thread-safe.
    """

    def __init__(self, cache: Cache, namespace: str, invalidate_within: float) -> None:
        self._cache = cache
        self._namespace = namespace
        self._key = f"{namespace}!"
        self._keep = invalidate_within
        self._lock = threading.Lock()
        self._prefix = ""
        self._until = 0.0
        self._invalidate_next = False

    def prefix(self) -> str:
        """Return the key prefix of the current generation."""
        if time.monotonic() >= self._until:
            with self._lock:
                if self._invalidate_next:
                    self._begin()
                elif time.monotonic() >= self._until:
                    self._remember(self._read())
        return self._prefix

    def begin(self) -> None:
        """Begin a new generation; no older value is found again."""
        with self._lock:
            self._begin()

    def invalidate_later(self) -> None:
        """Begin a new generation before the next use, because a write was lost."""
        with self._lock:
            self._invalidate_next = True
            self._until = 0.0

    def _begin(self) -> None:
        fresh = secrets.token_hex(4)
        self._cache.set(self._key, fresh.encode())
        self._invalidate_next = False
        self._remember(fresh)

    def _read(self) -> str:
        known = self._cache.get(self._key)
        if known is None:
            # The cache has lost the generation. Values of an old generation may still be there, so
            # the new one is random.
            fresh = secrets.token_hex(4).encode()
            if "atomic-add" in self._cache.capabilities:
                self._cache.add(self._key, fresh)
            else:
                self._cache.set(self._key, fresh)
            known = self._cache.get(self._key) or fresh
        return known.decode()

    def _remember(self, generation: str) -> None:
        self._prefix = f"{self._namespace}:{generation}"
        self._until = time.monotonic() + self._keep
