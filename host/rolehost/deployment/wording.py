"""Types and values in the words of someone who writes a deployment file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import msgspec

from rolehost.api.settings import Secret

#: Longest value shown in a message, characters.
LONGEST = 80


def describe_type(kind: Any) -> str:
    """Return what a setting of this type takes: ``a whole number >= 1``, ``"a" or "b"``."""
    # Only messages need this module, so a start without mistakes does not pay for it.
    import msgspec.inspect as inspect

    return _describe(inspect.type_info(kind))


def describe_value(value: Any) -> str:
    """Return a value as TOML writes it, with its type; never a secret's text."""
    if isinstance(value, Secret):
        return "a secret text"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, str):
        return f"{_short(json.dumps(str(value), ensure_ascii=False))} (text)"
    if isinstance(value, int):
        return f"{value} (a whole number)"
    if isinstance(value, float):
        return f"{value} (a number)"
    if isinstance(value, list | tuple):
        return f"{_short(_plain(value))} (a list)"
    if isinstance(value, dict):
        return f"a table with the keys {', '.join(sorted(value)) or '(none)'}"
    if isinstance(value, datetime.date | datetime.time):
        return f"{value.isoformat()} (a date or time)"
    return type(value).__name__


def redacted(value: Any) -> Any:
    """Return a decoded setting as plain data for listings, secrets as asterisks."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {name: redacted(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the texts of all secrets in a decoded setting, or in a section of them."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from secrets_in(item)


def _plain(value: Any) -> str:
    return json.dumps(redacted(value), ensure_ascii=False, default=str)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _describe(info: Any) -> str:
    """Return the words for one of msgspec's type descriptions."""
    import msgspec.inspect as inspect

    match info:
        case inspect.Metadata(type=inner):
            return _describe(inner)
        case inspect.UnionType(types=types):
            return " or ".join(
                _describe(item) for item in types if not isinstance(item, inspect.NoneType)
            )
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(info)
        case inspect.FloatType():
            return "a number" + _bounds(info)
        case inspect.StrType():
            return "text" + _length(info, "characters") + _pattern(info)
        case inspect.LiteralType(values=values):
            return " or ".join(json.dumps(value) for value in values)
        case inspect.CustomType(cls=cls):
            return _custom(cls)
        case inspect.StructType(cls=cls):
            return f"a table with the keys {', '.join(cls.__struct_encode_fields__)}"
        case inspect.DictType(value_type=item):
            return f"a table whose values are {_describe(item)}"
        case inspect.TupleType(item_types=items):
            return f"a list of {', '.join(_describe(item) for item in items)}"
        case inspect.CollectionType(item_type=item):
            return f"a list, each item {_describe(item)}" + _length(info, "items")
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _custom(cls: type[Any]) -> str:
    if cls is Secret:
        return "text (a secret)"
    if issubclass(cls, PurePath):
        return "a path, as text"
    return cls.__name__


def _bounds(info: Any) -> str:
    signs = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="), ("multiple_of", "multiple of"))
    parts = [
        f"{sign} {getattr(info, name)}" for name, sign in signs if getattr(info, name) is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _length(info: Any, unit: str) -> str:
    parts = []
    if info.min_length:
        parts.append(f"at least {info.min_length}")
    if info.max_length is not None:
        parts.append(f"at most {info.max_length}")
    return f" of {' and '.join(parts)} {unit}" if parts else ""


def _pattern(info: Any) -> str:
    return f" that matches {info.pattern}" if info.pattern else ""
