"""Values that not every database can hold; every backend refuses them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rolehost.errors import ValueRefused

#: Integers that SQLite and PostgreSQL (``bigint``) hold.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1


def check_values(values: Iterable[Any]) -> None:
    """Raise for values that one of the databases cannot hold.

    A backend calls it even if its own database can hold them.

    Args:
        values: parameters of a statement.

    Raises:
        ValueRefused: a text has NUL or half of a surrogate pair, or an integer is too large.
    """
    for value in values:
        kind = type(value)
        if kind is str:
            if "\0" in value:
                raise ValueRefused("a text has a NUL (U+0000), which databases cannot hold")
            if not value.isascii():
                _check_encoding(value)
        elif kind is int and not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ValueRefused("an integer has more than 64 bits")


def _check_encoding(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueRefused("a text has half of a surrogate pair, not valid in UTF-8") from None
