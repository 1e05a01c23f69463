"""Compare the actual arguments or payload with the values that a test expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Return a value as JSON types, or unchanged if JSON cannot represent it (``ANY``)."""
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return value


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Return one line for each difference from ``expected``; an empty list means a match.

    Mappings may have additional keys. Lists are compared item by item. An expected value is
    first compared with ``==``, so that :data:`unittest.mock.ANY` works.
    """
    if _equal(expected, actual):
        return []
    wanted = plain(expected) if not isinstance(expected, Mapping) else expected
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        found = []
        for key, value in wanted.items():
            place = f"{path}.{key}" if path else str(key)
            if key in actual:
                found += differences(value, actual[key], place)
            else:
                found.append(f"{place}: expected {value!r}, is missing")
        return found
    if _sequence(wanted) and _sequence(actual) and len(wanted) == len(actual):
        pairs = enumerate(zip(wanted, actual, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{path}[{i}]")]
    if _equal(wanted, actual):
        return []
    return [f"{path or 'it'}: expected {wanted!r}, got {actual!r}"]


def _sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _equal(expected: Any, actual: Any) -> bool:
    return bool(expected == actual)
