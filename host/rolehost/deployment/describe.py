"""Types and values in words, for messages about deployment files."""

from __future__ import annotations

import datetime
import json
from pathlib import PurePath
from typing import Any

import msgspec

from rolehost.api.settings import Secret

#: Longest value in a message, characters.
MAX_SHOWN = 80


def describe_type(kind: Any) -> str:
    """Return the accepted values in words, for example ``a whole number >= 1``."""
    # Imported late: only messages need this module of msgspec.
    import msgspec.inspect as inspect

    return _describe(inspect.type_info(kind))


def describe_value(value: Any) -> str:
    """Return a value as TOML writes it, with its type; never the text of a secret."""
    match value:
        case Secret():
            return "a secret text"
        case bool():
            return f"{str(value).lower()} (true or false)"
        case str():
            return f"{_shorten(json.dumps(str(value), ensure_ascii=False))} (text)"
        case int():
            return f"{value} (a whole number)"
        case float():
            return f"{value} (a number)"
        case list() | tuple():
            plain = json.dumps(redacted(value), ensure_ascii=False, default=str)
            return f"{_shorten(plain)} (a list)"
        case dict():
            return f"a table with the keys {', '.join(sorted(value)) or '(none)'}"
        case datetime.date() | datetime.time():
            return f"{value.isoformat()} (a date or time)"
    return type(value).__name__


def redacted(value: Any) -> Any:
    """Return a decoded setting as plain data for listings, with asterisks for secrets."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=str)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _describe(info: Any) -> str:
    import msgspec.inspect as inspect

    match info:
        case inspect.Metadata(type=inner):
            return _describe(inner)
        case inspect.UnionType(types=types):
            given = (item for item in types if not isinstance(item, inspect.NoneType))
            return " or ".join(map(_describe, given))
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(info)
        case inspect.FloatType():
            return "a number" + _bounds(info)
        case inspect.StrType(pattern=pattern):
            matches = f" that matches {pattern}" if pattern else ""
            return "text" + _length(info, "characters") + matches
        case inspect.LiteralType(values=values):
            return " or ".join(json.dumps(value) for value in values)
        case inspect.CustomType(cls=cls):
            if cls is Secret:
                return "text (a secret)"
            return "a path, as text" if issubclass(cls, PurePath) else cls.__name__
        case inspect.StructType(cls=cls):
            return f"a table with the keys {', '.join(cls.__struct_encode_fields__)}"
        case inspect.DictType(value_type=item):
            return f"a table whose values are {_describe(item)}"
        case inspect.TupleType(item_types=items):
            return f"a list of {', '.join(map(_describe, items))}"
        case inspect.CollectionType(item_type=item):
            return f"a list, each item {_describe(item)}" + _length(info, "items")
    return type(info).__name__.removesuffix("Type").lower()


def _bounds(info: Any) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
    bounds = {sign: getattr(info, name) for name, sign in signs.items()}
    parts = [f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    return f" {' and '.join(parts)}" if parts else ""


def _length(info: Any, unit: str) -> str:
    parts = []
    if info.min_length:
        parts.append(f"at least {info.min_length}")
    if info.max_length is not None:
        parts.append(f"at most {info.max_length}")
    return f" of {' and '.join(parts)} {unit}" if parts else ""
