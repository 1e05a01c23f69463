"""The fields of a route's path: ``{order_id}``, ``{number:int(min=1)}``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rolehost.suggest import did_you_mean

#: A field as Falcon reads it: a name, and perhaps a converter with arguments.
_FIELD = re.compile(r"\{([^}:]*)(?::([^}(]*)(?:\(([^}]*)\))?)?\}")

#: Falcon's converters and the type of what each gives to the responder.
CONVERTERS: dict[str, str] = {
    "int": "int",
    "float": "float",
    "dt": "datetime",
    "uuid": "UUID",
    "path": "str",
    "re": "str",
}

#: Converter → the arguments that it takes, those with ``*`` are required.
_TAKES: dict[str, tuple[str, ...]] = {
    "int": ("num_digits", "min", "max"),
    "float": ("min", "max", "finite"),
    "dt": ("format_string",),
    "uuid": (),
    "path": (),
    "re": ("pattern*", "group"),
}

#: Names of the types that a parameter is compared by; others are left alone.
_KNOWN = frozenset({"str", "int", "float", "datetime", "UUID"})


class Field(NamedTuple):
    """One field.

    Attributes:
        name: of the responder's argument.
        converter: name of its converter; empty: none, and the argument is text.
        arguments: of the converter, as written; None: none are given.
    """

    name: str
    converter: str
    arguments: str | None


def of(path: str) -> dict[str, Field]:
    """Return the fields of a path template by name."""
    return {field.name: field for field in map(_field, _FIELD.finditer(path))}


def _field(match: re.Match[str]) -> Field:
    return Field(match[1], match[2] or "", match[3])


def mistakes(path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield what Falcon would refuse when the server starts: what, expected, got, fix."""
    seen: set[str] = set()
    for match in _FIELD.finditer(path):
        field = _field(match)
        if not field.name.isidentifier():
            yield (
                "has a field that is no name of an argument",
                "an identifier in braces, such as {order_id}",
                match[0],
                "name the field as the responder's argument",
            )
        elif field.name in seen:
            yield (
                f"has two fields named {field.name}",
                "each field once",
                path,
                "rename one of them",
            )
        seen.add(field.name)
        if ":" in match[0]:
            yield from _converter(match[0], field)


def _converter(text: str, field: Field) -> Iterator[tuple[str, str, str, str]]:
    if field.converter not in CONVERTERS:
        yield (
            "names a converter that Falcon does not have",
            f"one of {', '.join(CONVERTERS)}",
            text,
            did_you_mean(field.converter, CONVERTERS) or "take the converter out",
        )
        return
    try:
        # As Falcon reads them, which is not imported to check a deployment.
        eval(f"bind({field.arguments or ''})", {"bind": _signature(field.converter).bind})
    except Exception as error:
        yield (
            f"has a converter with arguments that it refuses: {error}",
            f"{field.converter}{_signature(field.converter)}",
            text,
            "correct the arguments",
        )


def _signature(converter: str) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(name.rstrip("*"), kind, default=inspect.Parameter.empty)
            if name.endswith("*")
            else inspect.Parameter(name, kind, default=None)
            for name in _TAKES[converter]
        ]
    )


def wrong_types(
    responder: Callable[..., Any], named: dict[str, Field]
) -> Iterator[tuple[str, str, str]]:
    """Yield each parameter whose annotation is another type than its field gives.

    Only plain annotations of the types that converters give are compared.
    """
    parameters = inspect.signature(responder, follow_wrapped=False).parameters
    for name, field in named.items():
        given = CONVERTERS.get(field.converter, "str")
        parameter = parameters.get(name)
        if parameter is None or (field.converter and field.converter not in CONVERTERS):
            continue
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        text = text.rpartition(".")[2]
        if text in _KNOWN and text != given and (text, given) != ("float", "int"):
            yield name, given, text
