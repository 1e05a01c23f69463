"""Checks of values from plugins, made when the plugin passes them.

The bounds are the same for every supported database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

#: The longest delay or interval, in seconds: 100 years.
MAX_DELAY = 3_155_760_000.0

#: Maximum characters of an indexed text: an index entry of PostgreSQL has at most 2704 bytes.
MAX_TEXT_LENGTH = 600

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Bounds of PostgreSQL's INTEGER.
MIN_INTEGER, MAX_INTEGER = -(2**31), 2**31 - 1


def seconds(name: str, value: Any, *, minimum: float = 0.0, maximum: float = MAX_DELAY) -> float:
    """Return a duration in seconds.

    Args:
        name: name of the value in errors, for example ``Retry.delay``.
        value: an ``int`` or a ``float``, not a ``bool``.
        minimum: smallest accepted value.
        maximum: largest accepted value.

    Raises:
        TypeError: the value is not a number.
        ValueError: it is not finite, or out of bounds.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        hint = "; write value.total_seconds()" if hasattr(value, "total_seconds") else ""
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}{hint}")
    if not minimum <= value <= maximum:
        bounds = f"at most {maximum:.0f}" if minimum < 0 else f"from {minimum:g} to {maximum:.0f}"
        raise ValueError(f"{name} must be {bounds} seconds, not {value!r:.40}")
    return float(value)


def delay(name: str, value: Any) -> float:
    """Return a delay in seconds; a negative delay becomes 0, because its time has passed.

    Raises:
        TypeError, ValueError: as :func:`seconds`.
    """
    return max(0.0, seconds(name, value, minimum=-MAX_DELAY))


def moment(name: str, value: Any) -> int:
    """Return a time as milliseconds since the Unix epoch, rounded up.

    Raises:
        TypeError: the value is not a ``datetime``.
        ValueError: it has no time zone.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone, not {value!r:.80}")
    return -((_EPOCH - value) // timedelta(milliseconds=1))


def integer(
    name: str, value: Any, *, minimum: int = MIN_INTEGER, maximum: int = MAX_INTEGER
) -> int:
    """Return an integer within bounds.

    Raises:
        TypeError: the value is not an ``int``, or is a ``bool``.
        ValueError: it is out of bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be from {minimum} to {maximum}, not {value!r:.40}")
    return int(value)


def boolean(name: str, value: Any) -> bool:
    """Return a ``bool``.

    Raises:
        TypeError: the value is not a ``bool``.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r:.80}")
    return value


def text(name: str, value: Any, *, maximum: int = MAX_TEXT_LENGTH) -> str:
    """Return a text that every database can index.

    Raises:
        TypeError: the value is not a ``str``.
        ValueError: it is empty or too long, or contains NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    plain = str.__str__(value)
    if not 1 <= len(plain) <= maximum:
        raise ValueError(f"{name} must have 1 to {maximum} characters, not {len(plain)}")
    if not plain.isascii() or "\0" in plain:
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} must not contain half of a surrogate pair") from None
        if "\0" in plain:
            raise ValueError(f"{name} must not contain a NUL character")
    return plain
