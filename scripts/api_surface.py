"""List the public API name by name: as plain lines to compare, and as a page to read."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from rolehost import api
from rolehost.api import broker, http, versions
from rolehost.api.hooks import Hooks

from scripts.docstrings import Docstring, parse

#: Last part of the name of each API module → heading of its names, in the order of the page for
#: plugin authors.
SUBJECTS = {
    "contributions": "Contributions",
    "actors": "Contributions",
    "handlers": "Contributions",
    "services": "Services and contexts",
    "retries": "Outcomes and retries",
    "unique": "Unique jobs",
    "limits": "Limits of jobs",
    "events": "Events",
    "settings": "Settings",
    "errors": "Errors",
    "caching": "Caching",
    "metrics": "Metrics of plugins",
    "observe": "Recorders and statistics",
    "hooks": "Commands",
    "versions": "Versions",
}

#: The headings of the page for backend authors.
BACKEND_SUBJECTS = {
    "storage": "Storage",
    "private": "Private files",
}

#: Other names that the page for backend authors lists under a heading.
MOVED = {"FleetFacts": "Storage"}

#: Names that docs/hooks.md describes.
IN_HOOKS = frozenset({"DeclareContext", "ProcessContext"})


def public() -> Iterator[tuple[str, Any]]:
    """Yield the names of ``rolehost.api``, then the names of the other API modules, sorted."""
    for name in sorted(api.__all__):
        yield name, getattr(api, name)
    for module in (http, broker):
        prefix = module.__name__.removeprefix("rolehost.api.")
        for name, thing in sorted(vars(module).items()):
            if getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_"):
                yield f"{prefix}.{name}", thing


def surface() -> list[str]:
    """Return one line for each hook, each public name, and each of its fields and methods."""
    lines = [f"plugin API {versions.PLUGIN_API}"]
    for name, hook in vars(Hooks).items():
        if name.startswith("rolehost_"):
            lines.append(f"hook {name}{signature(hook)}")
    for name, thing in public():
        lines.append(f"{name}{described(thing)}")
        lines += [f"{name}.{each}" for each in members(thing)]
    return lines


def described(thing: Any) -> str:
    """Return the signature of a callable, or the type of another name."""
    if inspect.isclass(thing):
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        return f": class({bases})" if bases else ": class"
    if inspect.isroutine(thing):
        return signature(thing)
    return f": {type(thing).__name__}"


def members(thing: Any) -> Iterator[str]:
    """Yield the class's own fields, properties and methods with their types, not inherited ones."""
    if not inspect.isclass(thing):
        return
    yield from _fields(thing)
    for name, member in vars(thing).items():
        if name.startswith("_") and name not in ("__call__", "__init__"):
            continue
        if isinstance(member, property):
            result = inspect.get_annotations(member.fget).get("return", "Any")
            yield f"{name}: property {result}"
        elif isinstance(member, classmethod | staticmethod):
            yield f"{name}{signature(member.__func__)}"
        elif inspect.isfunction(member) and not (name == "__init__" and _generated(thing)):
            yield f"{name}{signature(member)}"


def _fields(thing: type[Any]) -> Iterator[str]:
    written = inspect.get_annotations(thing)
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            missing = field.default is dataclasses.MISSING
            default = "" if missing else f" = {_plain(field.default)}"
            if field.default_factory is not dataclasses.MISSING:
                default = " = …"
            yield f"{field.name}: {field.type}{default}"
    elif issubclass(thing, msgspec.Struct):
        for field in msgspec.structs.fields(thing):
            default = "" if field.default is msgspec.NODEFAULT else f" = {_plain(field.default)}"
            if field.default_factory is not msgspec.NODEFAULT:
                default = " = …"
            yield f"{field.name}: {written.get(field.name, 'inherited')}{default}"
    else:
        for name, kind in written.items():
            if not name.startswith("_"):
                # A named tuple keeps its annotations as forward references.
                yield f"{name}: {getattr(kind, '__forward_arg__', kind)}"


def _generated(thing: type[Any]) -> bool:
    return dataclasses.is_dataclass(thing) or issubclass(thing, msgspec.Struct)


def signature(function: Any) -> str:
    """Return the parameters and the return type as written in the source, without ``self``."""
    try:
        plain = inspect.signature(function)
    except (TypeError, ValueError):
        return "(…)"
    parameters = []
    for each in plain.parameters.values():
        if each.name == "self":
            continue
        if each.default is not each.empty:
            each = each.replace(default=_Plain(each.default))
        parameters.append(each)
    return str(plain.replace(parameters=parameters)).replace("'", "")


def source(function: Any) -> str:
    """Return a function's parameters and return type as Python source, without ``self``."""
    try:
        plain = inspect.signature(function)
    except (TypeError, ValueError):
        return "(…)"
    parameters = [
        each.replace(
            annotation=_Source(each.annotation)
            if each.annotation is not each.empty
            else each.empty,
            default=_Source(_literal(each.default))
            if each.default is not each.empty
            else each.empty,
        )
        for each in plain.parameters.values()
        if each.name != "self"
    ]
    return str(
        plain.replace(parameters=parameters, return_annotation=_Source(plain.return_annotation))
    )


class _Source:
    """An annotation or a default value with its source as repr."""

    def __init__(self, value: Any) -> None:
        self._text = value if isinstance(value, str) else getattr(value, "__name__", repr(value))

    def __repr__(self) -> str:
        return self._text


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return f'"{value}"'
    return value if inspect.isclass(value) else _plain(value)


class _Plain:
    """A default value with the same repr in every process and on every Python version."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return _plain(self._value)


def _plain(value: Any) -> str:
    text = repr(value)
    return "…" if " at 0x" in text or len(text) > 60 else text


def page(note: str) -> str:
    """Return the reference for plugin authors."""
    accepted = " and ".join(map(str, versions.ACCEPTED_APIS))
    parts = [
        note,
        "# The plugin API",
        "A plugin may import `rolehost.api`, and for routes `rolehost.api.http`; its tests import"
        " `rolehost_testing` ([testing.md](testing.md)). [hooks.md](hooks.md) describes the hooks"
        " and contributions, [backend-api.md](backend-api.md) the storage interfaces behind"
        " `services.database`, `services.cache`, `services.queue` and `services.stream`."
        f" This is plugin API {versions.PLUGIN_API}; the host accepts plugins of {accepted}.",
    ]
    grouped = _grouped()
    links = [
        f"- [`{name}`](hooks.md#{name.lower()}): {_summary(thing)}"
        for name, thing in grouped.pop("Contributions")
        if inspect.isclass(thing)
    ]
    links += [
        f"- [`{name}`](hooks.md#{name.lower()}): {_summary(getattr(api, name))}"
        for name in sorted(IN_HOOKS)
    ]
    parts += ["## Contributions", "\n".join(links)]
    for name in ("actor", "handler"):
        parts += _entry(name, getattr(api, name))
    for subject in (*SUBJECTS.values(), "HTTP", "Constants"):
        if subject in grouped:
            parts.append(f"## {subject}")
            for name, thing in grouped[subject]:
                parts += _entry(name, thing)
    return "\n\n".join(parts) + "\n"


def backend_page(note: str) -> str:
    """Return the reference for the authors of storage backends."""
    parts = [
        note,
        "# The backend API",
        "A storage backend imports `rolehost.api`, and for a queue `rolehost.api.broker`. It"
        " implements one of four interfaces: `Database`, `Cache`, `Queue` or `Stream`. A plugin"
        " offers it with [`Backend`](hooks.md#backend) in the hook"
        " [`rolehost_backends`](hooks.md#rolehost_backends). Begin with `rolehost new backend NAME"
        " --kind cache`, which writes a package that passes the conformance suite"
        " ([conformance.md](conformance.md)). Backends raise the `Storage…` errors of"
        " [plugin-api.md](plugin-api.md#errors).",
    ]
    grouped = _grouped()
    for subject in (*BACKEND_SUBJECTS.values(), "Brokers"):
        parts.append(f"## {subject}")
        for name, thing in grouped[subject]:
            parts += _entry(name, thing)
    return "\n\n".join(parts) + "\n"


def _grouped() -> dict[str, list[tuple[str, Any]]]:
    """Return the public names by heading, without the names that docs/hooks.md describes."""
    grouped: dict[str, list[tuple[str, Any]]] = {}
    for name, thing in public():
        if not isinstance(thing, TypeVar) and name not in IN_HOOKS:
            grouped.setdefault(_subject(name, thing), []).append((name, thing))
    return grouped


def _subject(name: str, thing: Any) -> str:
    if name.startswith("http."):
        return "HTTP"
    if name.startswith("broker."):
        return "Brokers"
    if name in MOVED:
        return MOVED[name]
    headings = SUBJECTS | BACKEND_SUBJECTS
    parts = getattr(thing, "__module__", "").split(".")
    return next((headings[part] for part in parts if part in headings), "Constants")


def _summary(thing: Any) -> str:
    return parse(thing).body[0]


def _entry(name: str, thing: Any) -> Iterator[str]:
    title = name.removeprefix("http.").removeprefix("broker.")
    yield f"### `{title}`"
    if inspect.isroutine(thing):
        yield f"```text\n{_async(thing)}{title}{source(thing)}\n```"
    if not inspect.isclass(thing) and not inspect.isroutine(thing):
        yield _constant(thing)
        return
    if inspect.isclass(thing) and issubclass(thing, Exception):
        yield f"Base class: {', '.join(f'`{base.__name__}`' for base in thing.__bases__)}."
    yield from _words(parse(thing))
    if inspect.isclass(thing):
        rows = methods(thing)
        if rows:
            yield "\n".join(rows)


def _constant(thing: Any) -> str:
    if isinstance(thing, dict):
        return "\n".join(f"- `{key}`: {', '.join(map(repr, each))}" for key, each in thing.items())
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", repr(thing))
    if " at 0x" in text:
        return f"A `{type(thing).__name__}` of {type(thing).__module__.partition('.')[0]}."
    return f"`{text}`"


def _async(function: Any) -> str:
    return "async " if inspect.iscoroutinefunction(function) else ""


def _words(documented: Docstring) -> Iterator[str]:
    yield from documented.body
    for section in ("Attributes", "Args", "Raises"):
        entries = documented.entries(section)
        if entries:
            rows = "\n".join(f"- `{name}`: {words}" for name, words in entries.items())
            yield f"{section}:\n\n{rows}"
    if "Returns" in documented.sections:
        yield f"Returns: {' '.join(documented.sections['Returns'].split())}"


def methods(thing: Any) -> list[str]:
    """Return a line for each public property and method of a class."""
    rows = []
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            rows.append(f"- `{name}` – {_first(member.fget)}")
        elif inspect.isfunction(member):
            text = re.sub(r"\s+", " ", source(member))
            rows.append(f"- `{_async(member)}{name}{text}` – {_first(member)}")
    return rows


def _first(function: Any) -> str:
    documented = parse(function)
    words = [*documented.body[:1]]
    for section in ("Returns", "Raises"):
        if section in documented.sections:
            words.append(f"{section}: {' '.join(documented.sections[section].split())}")
    return " ".join(words)
