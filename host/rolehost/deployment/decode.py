"""Decodes a section into its settings type and reports every wrong key.

msgspec stops at the first error, so each key is decoded alone. The operator gets messages about
TOML instead of msgspec's messages.
"""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar, get_args

import msgspec

from rolehost.api.settings import Secret
from rolehost.deployment.describe import describe_type, describe_value
from rolehost.deployment.files import PREFIX, ProblemList
from rolehost.deployment.model import Origin
from rolehost.deployment.references import Unresolved, Untyped, contains, reveal
from rolehost.errors import Problem, SettingLocation
from rolehost.suggest import did_you_mean, one_of

S = TypeVar("S", bound=msgspec.Struct)


@functools.cache
def fields_of(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the fields of a settings type. PERF: msgspec reads the annotations at every call."""
    return msgspec.structs.fields(kind)


def decode(
    kind: type[S],
    values: Mapping[str, Any],
    *,
    section: str,
    origins: Mapping[str, Origin],
    who: str,
    folder: Path,
) -> tuple[S | None, list[Problem]]:
    """Decode one section; return the settings, or None, and every problem.

    References in ``values`` are already resolved. ``section`` is the dotted name of the section;
    ``origins`` maps dotted keys to origins. Relative paths, including defaults, are relative to
    ``folder``.
    """
    decoder = _Decoder(origins, folder, ProblemList(who))
    settings = decoder.struct(kind, values, section)
    return (None if decoder.problems else settings), decoder.problems


def decode_section(
    kind: Any,
    values: Mapping[str, Any],
    *,
    section: str,
    origins: Mapping[str, Origin],
    who: str,
    folder: Path,
) -> tuple[Any, list[Problem]]:
    """Like :func:`decode`, for a section of the host.

    Such a section may consist of named tables, for example ``[actors."shop.mail"]``.
    """
    table = table_of(kind)
    if table is None:
        return decode(kind, values, section=section, origins=origins, who=who, folder=folder)
    decoder = _Decoder(origins, folder, ProblemList(who))
    settings = decoder.tables(table, values, section)
    return (None if decoder.problems else settings), decoder.problems


def table_of(kind: Any) -> type[msgspec.Struct] | None:
    """Return the type that all named tables of a section have; None if it has no named tables."""
    arguments = get_args(kind)
    return arguments[1] if arguments else None


def location(path: str, origins: Mapping[str, Origin]) -> SettingLocation:
    """Return the origin of a key (or of the nearest table that contains it), and the key."""
    parts = path.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    for name in (*around, f"plugins.{parts[0]}"):
        if name in origins:
            return SettingLocation(f"{origins[name].text}, {path}", [path])
    return SettingLocation(path, [path])


class _Decoder:
    def __init__(self, origins: Mapping[str, Origin], folder: Path, problems: ProblemList) -> None:
        self.origins = origins
        self.folder = folder
        self.problems = problems

    def tables(self, kind: type[S], values: Mapping[str, Any], section: str) -> dict[str, S | None]:
        """Decode the tables of a section by name."""
        decoded: dict[str, S | None] = {}
        for name, table in values.items():
            path = f"{section}.{name}"
            if not isinstance(table, dict):
                got = describe_value(table)
                self._report("wrong-type.section", path, name=f'{section}."{name}"', got=got)
                continue
            inner = next((key for key, value in table.items() if isinstance(value, dict)), None)
            if inner is None:
                decoded[name] = self.struct(kind, table, path)
            else:
                path = f"{path}.{inner}"
                self._report("unquoted-name", path, section=section, name=f"{name}.{inner}")
        return decoded

    def struct(self, kind: type[S], values: Mapping[str, Any], section: str) -> S | None:
        """Decode one table key by key; None if a key is wrong or a reference is not resolved."""
        problems = len(self.problems)
        unresolved = False
        known = {field.encode_name: field for field in fields_of(kind)}
        for key in values.keys() - known.keys():
            path = f"{section}.{key}"
            self._report("unknown-key", path, known=one_of(known), hint=did_you_mean(key, known))
        decoded: dict[str, Any] = {}
        for key, field in known.items():
            path = f"{section}.{key}"
            if key in values:
                if contains(values[key], Unresolved):
                    unresolved = True
                else:
                    decoded[field.name] = self._field(field.type, values[key], path)
            elif field.required:
                variable = PREFIX + path.upper().replace("-", "_").replace(".", "__")
                expected = describe_type(field.type)
                self._report(
                    "missing-key", path, section=section, expected=expected, variable=variable
                )
            else:
                default = field.default
                if default is msgspec.NODEFAULT:
                    default = field.default_factory()
                if isinstance(default, PurePath):
                    decoded[field.name] = self._path(type(default), default)
        if unresolved or len(self.problems) > problems:
            return None
        try:
            return kind(**decoded)
        except (TypeError, ValueError) as error:
            self._report("invalid-settings", section, section=section, error=error)
            return None

    def _field(self, kind: Any, value: Any, path: str) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            return self.struct(kind, value, path)
        message = ""
        for candidate, strict in _readings(value):
            try:
                return msgspec.convert(candidate, kind, dec_hook=self._hook, strict=strict)
            except msgspec.ValidationError as error:
                message = message or str(error)
        self._wrong(kind, value, path, message)
        return None

    def _hook(self, kind: type[Any], value: Any) -> Any:
        if kind is not Secret and not issubclass(kind, PurePath):
            raise NotImplementedError(f"settings of type {kind.__qualname__} are not supported")
        if not isinstance(value, str):
            raise ValueError("Expected `str`")
        return Secret(value) if kind is Secret else self._path(kind, value)

    def _path(self, kind: type[PurePath], value: str | PurePath) -> PurePath:
        return kind(os.path.normpath(self.folder.absolute() / value))

    def _wrong(self, kind: Any, value: Any, path: str, message: str) -> None:
        expected = describe_type(kind)
        _, _, inner = message.partition(" - at `$")
        item = inner.rstrip("`")
        got = reveal(_item(value, item))
        origin = self.origins.get(path)
        if contains(value, Secret) or "a secret" in expected or (origin and origin.secret):
            shown = "a secret text"
        elif origin and origin.hidden:
            shown = "the value of a reference, which is not shown"
        else:
            shown = describe_value(got)
        choices = re.findall(r'"([^"]+)"', expected)
        nearest = did_you_mean(got, choices) if isinstance(got, str) else ""
        self._report(
            "wrong-value",
            path,
            code="wrong-type" if ", got `" in message else "",
            item=item,
            expected=expected,
            got=shown,
            hint=nearest,
        )

    def _report(self, message: str, path: str, **values: Any) -> None:
        values = {"path": path, "key": path.rpartition(".")[2], **values}
        self.problems.add(message, location(path, self.origins), **values)


def _readings(value: Any) -> Iterator[tuple[Any, bool]]:
    """Yield the possible readings of a value, best first, each with ``strict`` of msgspec.

    Text that is not from the TOML file, for example from a variable, is tried as a TOML value, as
    text, as text that msgspec may convert to a number or boolean, and as a comma-separated list.
    """
    untyped = contains(value, Untyped)
    if not untyped and not contains(value, Secret):
        yield value, True
        return
    if untyped:
        yield reveal(value, _as_toml), True
    plain = reveal(value)
    yield plain, True
    yield plain, False
    if isinstance(value, Untyped):
        yield [item.strip() for item in value.split(",") if item.strip()], False


def _as_toml(text: Untyped) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return str(text)
    return document["value"] if document.keys() == {"value"} else str(text)


def _item(value: Any, path: str) -> Any:
    """Return the list item at msgspec's path, or the value if no such item exists."""
    for index in re.findall(r"\[(\d+)\]", path):
        if isinstance(value, list | tuple) and int(index) < len(value):
            value = value[int(index)]
    return value
