"""Whether what was enqueued or published is what a test asked for, and where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Return a value in JSON's own types; as it is when it has no such form (``ANY``)."""
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return value


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Return one line for each place where ``actual`` is not as expected; empty: it matches.

    Mappings match in part: a key that is not expected may be there. Lists match item by item.
    Anything with an ``==`` of its own (:data:`unittest.mock.ANY`) is asked first.
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
