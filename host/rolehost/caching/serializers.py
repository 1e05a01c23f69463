"""Values as bytes, with a byte in front for the format.

An entry is ``FORMAT payload``. A computed one is ``FORMAT+16 end took payload``: the end of its
freshness (seconds since the epoch, double) and how long computing it took (seconds, float),
both big-endian. A whole number is its decimal text, so that a counter can continue from it. An
unknown format or a payload of another type was written by another version of the program.
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
#: What decimal text begins with.
_DECIMAL = frozenset(b"-0123456789")


class Entry(NamedTuple, Generic[T]):
    """A value that was found."""

    value: T
    #: The end of its freshness, seconds since the epoch; None: it has none.
    ends: float | None
    #: Seconds that computing it took.
    took: float


# PERF: a third of what calling the class costs; this is on the way of every get.
_entry: Any = tuple.__new__


class Unreadable(Exception):
    """These bytes are not a value of this type in this format."""


class Serializer(Generic[T]):
    """Writes and reads values of one type, anything that msgspec decodes, or None."""

    def __init__(self, name: SerializerName, value_type: Any) -> None:
        if name == "raw" and value_type is not bytes:
            raise TypeError("the serializer 'raw' is for values of the type bytes")
        self._mark = _FORMATS[name]
        self._head = bytes([self._mark])
        self._type = Any if value_type is Any else Optional[value_type]  # noqa: UP045 - a value
        self._encode, self._decode = _codec(name, self._type)

    def dump(self, value: T) -> bytes:
        """Return the entry of a value."""
        if type(value) is int:
            return str(value).encode()
        return self._head + self._encode(value)

    def dump_computed(self, value: T, ends: float, took: float) -> bytes:
        """Return the entry of a computed value."""
        head = bytes([self._mark + _COMPUTED]) + _TIMES.pack(ends, took)
        return head + self._encode(value)

    def load(self, data: bytes) -> Entry[T]:
        """Return the value of an entry, or raise Unreadable."""
        try:
            mark = data[0]
            if mark == self._mark:
                plain: Entry[T] = _entry(Entry, (self._decode(data[1:]), None, 0.0))
                return plain
            if mark == self._mark + _COMPUTED:
                ends, took = _TIMES.unpack_from(data, 1)
                computed: Entry[T] = _entry(Entry, (self._decode(data[_HEAD:]), ends, took))
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
