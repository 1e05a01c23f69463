"""Routes: their paths and fields, and routes that conflict.

The rules follow Falcon's router. Falcon replaces a route silently if the same template is added
twice. Falcon refuses two names for the variable of one path segment, but only when the server
starts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rolehost.api.contributions import Route
from rolehost.composition.model import Owned
from rolehost.composition.names import report_clash
from rolehost.composition.problems import Problems
from rolehost.suggest import did_you_mean

#: A field as Falcon reads it: a name, and perhaps a converter with arguments.
_FIELD = re.compile(r"\{([^}:]*)(?::([^}(]*)(?:\(([^}]*)\))?)?\}")

_BRACES = re.compile(r"\{[^{}]*\}")

#: Text that a template cannot have outside of its fields, because clients do not send it in a path:
#: escapes, characters that end a path or that some programs read as a slash, empty segments, and
#: dot segments, which clients remove (RFC 3986, 5.2.4).
_UNREACHABLE = re.compile(r"[%?#\\\s\x00-\x1f\x7f]|//|/\.{1,2}(?=/|\Z)|(?<=.)/\Z")

#: Falcon's converters → the type of the responder's argument, and the converter's parameters. A
#: check does not import Falcon.
_CONVERTERS: dict[str, tuple[str, str]] = {
    "int": ("int", "num_digits=None, min=None, max=None"),
    "float": ("float", "min=None, max=None, finite=None"),
    "dt": ("datetime", "format_string=None"),
    "uuid": ("UUID", ""),
    "path": ("str", ""),
    "re": ("str", "pattern, group=None"),
}

#: Names of the types that are compared with annotations; others are ignored.
_COMPARED = frozenset({"str", "int", "float", "datetime", "UUID"})

#: Falcon's HTTP and WebDAV methods, and its websocket responder.
METHODS = (
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE",
    "CHECKIN", "CHECKOUT", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "REPORT",
    "UNCHECKIN", "UNLOCK", "UPDATE", "WEBSOCKET",
)  # fmt: skip


class Field(NamedTuple):
    """One field of a path, ``{number:int(min=1)}``; an empty converter gives text."""

    text: str
    name: str
    converter: str
    arguments: str


def fields_of(path: str) -> list[Field]:
    """Return the fields of a path template."""
    return [Field(m[0], m[1], m[2] or "", m[3] or "") for m in _FIELD.finditer(path)]


def responders(route: Route) -> dict[str, str]:
    """Return method → name of the resource's responder for a route."""
    suffix = f"_{route.suffix}" if route.suffix else ""
    names = {method: f"on_{method.lower()}{suffix}" for method in METHODS}
    return {
        method: name
        for method, name in names.items()
        if callable(getattr(route.resource, name, None))
    }


def check(routes: Sequence[Owned[Route]], problems: Problems) -> None:
    """Report routes that conflict, and routes that no request can reach."""
    for owned in routes:
        route = owned.value
        _check_path(owned, problems)
        for what, expected, got, fix in _field_problems(route.path):
            words = {"what": what, "expected": expected, "got": got, "fix": fix}
            problems.about(owned, "route-fields", path=route.path, **words)
        if not responders(route):
            suffix = f"_{route.suffix}" if route.suffix else ""
            kind = type(route.resource).__name__
            values = {"path": route.path, "suffix": suffix, "type": kind}
            problems.about(owned, "route-without-responder", **values)
    _check_duplicates(routes, problems)
    _check_variables(routes, problems)


def _check_path(owned: Owned[Route], problems: Problems) -> None:
    path = owned.value.path
    if not path.startswith("/"):
        problems.about(owned, "route-path", path=path, got=path or "(empty)")
    elif found := _UNREACHABLE.search(_BRACES.sub("{}", path)):
        at_end = found.start() > 0 and found[0] == "/"
        hint = f"write {path.rstrip('/')} with trailing_slash=True, which takes both"
        values = {"path": path, "part": found[0], "hint": hint if at_end else ""}
        problems.about(owned, "route-path.unreachable", **values)


def _field_problems(path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (error, expected, got, fix); Falcon would find these errors when the server starts."""
    seen: set[str] = set()
    for field in fields_of(path):
        if not field.name.isidentifier():
            yield (
                "has a field that is not a valid argument name",
                "an identifier in braces, such as {order_id}",
                field.text,
                "name the field as the responder's argument",
            )
        elif field.name in seen:
            what = f"has two fields named {field.name}"
            yield what, "each field once", path, "rename one of them"
        seen.add(field.name)
        if ":" in field.text:
            yield from _converter_problems(field)


def _converter_problems(field: Field) -> Iterator[tuple[str, str, str, str]]:
    if field.converter not in _CONVERTERS:
        yield (
            "names a converter that Falcon does not have",
            f"one of {', '.join(_CONVERTERS)}",
            field.text,
            did_you_mean(field.converter, _CONVERTERS) or "remove the converter",
        )
        return
    signature = inspect.signature(eval(f"lambda {_CONVERTERS[field.converter][1]}: None"))
    try:
        eval(f"bind({field.arguments})", {"bind": signature.bind})  # as Falcon reads them
    except Exception as error:
        what = f"has a converter with wrong arguments: {error}"
        yield what, f"{field.converter}{signature}", field.text, "correct the arguments"


def wrong_types(
    responder: Callable[..., Any], fields: Sequence[Field]
) -> Iterator[tuple[str, str, str]]:
    """Yield each parameter whose annotation differs from the type of its field.

    Only plain annotations of the types that converters give are compared.
    """
    parameters = inspect.signature(responder, follow_wrapped=False).parameters
    for field in fields:
        parameter = parameters.get(field.name)
        if parameter is None or (field.converter and field.converter not in _CONVERTERS):
            continue
        given = _CONVERTERS[field.converter][0] if field.converter else "str"
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        text = text.rpartition(".")[2]
        if text in _COMPARED and text != given and (text, given) != ("float", "int"):
            yield field.name, given, text


def _check_duplicates(routes: Sequence[Owned[Route]], problems: Problems) -> None:
    claimed: dict[tuple[str, str], list[Owned[Route]]] = {}
    for owned in routes:
        template = _BRACES.sub("{}", owned.value.path)
        for method in responders(owned.value):
            claimed.setdefault((template, method), []).append(owned)
    # Report several methods of the same routes once.
    together: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for key, claims in claimed.items():
        if len(claims) > 1:
            together.setdefault(tuple(map(id, claims)), []).append(key)
    for keys in together.values():
        claims = claimed[keys[0]]
        methods = ", ".join(method for _, method in keys)
        subject = f"{methods} {claims[0].value.path}"
        report_clash(problems, "duplicate-route", subject, claims)


def _check_variables(routes: Sequence[Owned[Route]], problems: Problems) -> None:
    """Report fields of one segment that differ only in their names."""
    seen: dict[tuple[str, ...], dict[str, Owned[Route]]] = {}
    for owned in routes:
        segments = owned.value.path.strip("/").split("/")
        for depth, segment in enumerate(segments):
            if "{" in segment:
                place = (*segments[:depth], _BRACES.sub("{}", segment))
                seen.setdefault(place, {}).setdefault(segment, owned)
    for place, variants in seen.items():
        if len(variants) > 1:
            shown = ", ".join(
                f"{written} in {owned.value.path} of {owned.plugin}"
                for written, owned in variants.items()
            )
            values = {"segment": f"/{'/'.join(place)}", "variants": shown}
            problems.about(variants.values(), "route-variables", **values)
