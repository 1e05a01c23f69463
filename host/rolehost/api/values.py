"""Checks of values from plugins, made when the plugin passes them.

The bounds are the same for every supported database.
"""

from __future__ import annotations

import math
from typing import Any

#: The longest delay or interval, in seconds: 100 years.
LONGEST_DELAY = 3_155_760_000.0

#: Maximum characters of an indexed text: an index entry of PostgreSQL has at most 2704 bytes.
LONGEST_TEXT = 600

#: Bounds of PostgreSQL's INTEGER.
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**31), 2**31 - 1


def seconds(what: str, value: Any, *, least: float = 0.0, most: float = LONGEST_DELAY) -> float:
    """Return a duration in seconds.

    Args:
        what: name of the value in errors, for example ``Retry.delay``.
        value: an ``int`` or a ``float``, not a ``bool``.
        least: smallest accepted value.
        most: largest accepted value.

    Raises:
        TypeError: the value is not a number.
        ValueError: it is not finite, or out of bounds.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        hint = "; write value.total_seconds()" if hasattr(value, "total_seconds") else ""
        raise TypeError(f"{what} must be a number of seconds, not {type(value).__name__}{hint}")
    if not (math.isfinite(value) if isinstance(value, float) else True) or not (
        least <= value <= most
    ):
        bounds = f"from {least:g} to {most:.0f}" if least >= 0 else f"at most {most:.0f}"
        raise ValueError(f"{what} must be {bounds} seconds, not {value!r:.40}")
    return float(value)


def delay(what: str, value: Any) -> float:
    """Return a delay in seconds; a negative delay becomes 0, because its time has passed.

    Raises:
        TypeError, ValueError: as :func:`seconds`.
    """
    return max(0.0, seconds(what, value, least=-LONGEST_DELAY))


def integer(
    what: str, value: Any, *, least: int = SMALLEST_INTEGER, most: int = LARGEST_INTEGER
) -> int:
    """Return an integer within bounds.

    Raises:
        TypeError: the value is not an ``int``, or is a ``bool``.
        ValueError: it is out of bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {value!r:.40}")
    return int(value)


def text(what: str, value: Any, *, most: int = LONGEST_TEXT) -> str:
    """Return a text that every database can index.

    Raises:
        TypeError: the value is not a ``str``.
        ValueError: it is empty or too long, or contains NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    plain = str.__str__(value)
    if not 1 <= len(plain) <= most:
        raise ValueError(f"{what} must have 1 to {most} characters, not {len(plain)}")
    if not plain.isascii() or "\0" in plain:
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} must not contain half of a surrogate pair") from None
        if "\0" in plain:
            raise ValueError(f"{what} must not contain a NUL character")
    return plain
