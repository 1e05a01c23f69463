"""Encoding of cached values as bytes.

An entry is ``FORMAT payload``; ``FORMAT`` is one byte. A computed entry is
``FORMAT+16 expires_at duration payload``: the time until which it is fresh (seconds since the
epoch, double) and the duration of the computation (seconds, float), both big-endian. An integer
that was not computed is stored as decimal text, so that the cache can increment it. If the format
is unknown or the payload has another type, another version of the program wrote the entry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Optional, TypeVar

import msgspec

from rolehost.caching.options import SerializerName

T = TypeVar("T")

_FORMATS: dict[SerializerName, int] = {"raw": 1, "json": 2, "msgpack": 3}
#: Added to the format of a computed value.
_COMPUTED = 16
_TIMES = struct.Struct(">df")
_HEAD = 1 + _TIMES.size
#: Bytes with which decimal text can begin.
_DECIMAL = frozenset(b"-0123456789")


class Entry(NamedTuple, Generic[T]):
    """A value that was found."""

    value: T
    #: Time until which it is fresh, seconds since the epoch; None if it is not stored.
    expires_at: float | None
    #: Duration of the computation in seconds; 0.0 if it is not stored.
    duration: float


# PERF: a call of the class takes three times as long, and every get makes an entry.
_entry: Any = tuple.__new__


class Unreadable(Exception):
    """These bytes are not a value of this type in this format."""


class Serializer(Generic[T]):
    """Encodes and decodes None and values of one type; msgspec must be able to decode the type."""

    def __init__(self, name: SerializerName, value_type: Any) -> None:
        if name == "raw" and value_type is not bytes:
            raise TypeError("the serializer 'raw' is for values of the type bytes")
        self._mark = _FORMATS[name]
        self._head = bytes([self._mark])
        self._type = Any if value_type is Any else Optional[value_type]  # noqa: UP045 - a value
        self._encode, self._decode = _codec(name, self._type)

    def dump(self, value: T) -> bytes:
        """Return the entry for a value, without times."""
        if type(value) is int:
            return str(value).encode()
        return self._head + self._encode(value)

    def dump_computed(self, value: T, expires_at: float, duration: float) -> bytes:
        """Return the entry for a computed value, with its times."""
        head = bytes([self._mark + _COMPUTED]) + _TIMES.pack(expires_at, duration)
        return head + self._encode(value)

    def load(self, data: bytes) -> Entry[T]:
        """Return the value of an entry, or raise Unreadable."""
        try:
            mark = data[0]
            if mark == self._mark:
                plain: Entry[T] = _entry(Entry, (self._decode(data[1:]), None, 0.0))
                return plain
            if mark == self._mark + _COMPUTED:
                expires_at, duration = _TIMES.unpack_from(data, 1)
                computed: Entry[T] = _entry(
                    Entry, (self._decode(data[_HEAD:]), expires_at, duration)
                )
                return computed
            if mark in _DECIMAL:
                number: Any = msgspec.convert(int(data), self._type)
                return Entry(number, None, 0.0)
        except (msgspec.MsgspecError, ValueError, IndexError, struct.error) as error:
            raise Unreadable(str(error)) from error
        raise Unreadable(f"unknown format {mark}")


def _codec(
    name: SerializerName, value_type: Any
) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if name == "msgpack":
        return msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(value_type).decode
    if name == "json":
        return msgspec.json.Encoder().encode, msgspec.json.Decoder(value_type).decode
    return _raw, bytes


def _raw(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"the serializer 'raw' takes bytes, not {type(value).__name__}")
    return bytes(value)
