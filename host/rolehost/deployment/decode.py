"""A section of plain values into its settings type, with every wrong key reported.

msgspec stops at the first mistake, so each key is decoded by itself; its messages are rewritten
into words about the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

import msgspec

from rolehost.api.settings import Secret
from rolehost.deployment.model import Origin
from rolehost.deployment.references import Unresolved, Written, holds, reveal
from rolehost.deployment.wording import describe_type, describe_value
from rolehost.errors import Problem
from rolehost.suggest import did_you_mean, one_of

S = TypeVar("S", bound=msgspec.Struct)


_fields: dict[Any, tuple[msgspec.structs.FieldInfo, ...]] = {}


def fields_of(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the fields of a settings type; PERF: msgspec looks into annotations each time."""
    found = _fields.get(kind)
    if found is None:
        found = _fields[kind] = msgspec.structs.fields(kind)
    return found


def decode(
    kind: type[S],
    values: Mapping[str, Any],
    *,
    section: str,
    origins: Mapping[str, Origin],
    who: str,
    folder: Path,
) -> tuple[S | None, list[Problem]]:
    """Decode one section.

    A relative path, given or default, starts at ``folder``.

    Args:
        kind: the settings type.
        values: the section as read, references resolved.
        section: its dotted name.
        origins: dotted key → where its value came from.
        who: whose settings these are, for messages.
        folder: the folder of the deployment file.

    Returns:
        The settings, and no problems; or None and every mistake.
    """
    decoder = _Decoder(origins, who, folder)
    settings = decoder.struct(kind, values, section)
    return (None if decoder.problems else settings), decoder.problems


class _Decoder:
    def __init__(self, origins: Mapping[str, Origin], who: str, folder: Path) -> None:
        self.origins = origins
        self.who = who
        self.folder = folder
        self.problems: list[Problem] = []

    def struct(self, kind: type[S], values: Mapping[str, Any], section: str) -> S | None:
        """Decode one table key by key; None when anything in it is wrong."""
        mistakes = len(self.problems)
        unresolved = False
        known = {field.encode_name: field for field in fields_of(kind)}
        for key in values.keys() - known.keys():
            self._unknown(f"{section}.{key}", key, known)
        decoded: dict[str, Any] = {}
        for key, field in known.items():
            path = f"{section}.{key}"
            if key in values:
                if holds(values[key], Unresolved):
                    unresolved = True
                else:
                    decoded[field.name] = self._field(field.type, values[key], path)
            elif field.required:
                self._missing(section, path, field.type)
            else:
                default = _default(field)
                if isinstance(default, PurePath):
                    decoded[field.name] = self._path(type(default), default)
        if unresolved or len(self.problems) > mistakes:
            return None
        try:
            return kind(**decoded)
        except (TypeError, ValueError) as error:
            self._invalid(section, error)
            return None

    def _field(self, kind: Any, value: Any, path: str) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            return self.struct(kind, value, path)
        error: msgspec.ValidationError | None = None
        for candidate, strict in _readings(value):
            try:
                return msgspec.convert(candidate, kind, dec_hook=self._hook, strict=strict)
            except msgspec.ValidationError as failure:
                error = error or failure
        assert error is not None  # there is always a first reading
        self._wrong(kind, value, path, str(error))
        return None

    def _hook(self, kind: type[Any], value: Any) -> Any:
        if kind is Secret:
            if isinstance(value, str):
                return Secret(value)
            raise ValueError("Expected `str`")
        if issubclass(kind, PurePath):
            if isinstance(value, str):
                return self._path(kind, value)
            raise ValueError("Expected `str`")
        raise NotImplementedError(f"settings of type {kind.__qualname__} are not supported")

    def _path(self, kind: type[PurePath], value: str | PurePath) -> PurePath:
        return kind(os.path.normpath(self.folder.absolute() / value))

    def _where(self, path: str) -> str:
        """Return the origin of a key, or of the nearest table around it."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            origin = self.origins.get(".".join(parts[:length]))
            if origin is not None:
                return f"{origin.text}, {path}"
        enabled = self.origins.get(f"plugins.{parts[0]}")
        return f"{enabled.text}, {path}" if enabled else path

    def _unknown(self, path: str, key: str, known: Mapping[str, Any]) -> None:
        self._add(
            "unknown-key",
            path,
            f"{path} is no setting",
            f"one of {one_of(known)}",
            key,
            did_you_mean(key, known) or f"take {key} out",
        )

    def _missing(self, section: str, path: str, kind: Any) -> None:
        self._add(
            "missing-key",
            path,
            f"{path} is required and not set",
            describe_type(kind),
            "nothing",
            f"set {path.removeprefix(section + '.')} in [{section}], or in the environment as "
            + "ROLEHOST__"
            + "__".join(path.upper().replace("-", "_").split(".")),
        )

    def _wrong(self, kind: Any, value: Any, path: str, message: str) -> None:
        _, _, inner = message.partition(" - at `$")
        spot = inner.rstrip("`")
        if holds(value, Secret) or _takes_secret(kind) or self._is_secret(path):
            shown = "a secret text"
        elif self._is_given(path):
            shown = "what a reference gives, which is not shown"
        else:
            shown = describe_value(reveal(_at(value, spot)))
        self._add(
            "wrong-type" if ", got `" in message else "wrong-value",
            path,
            f"{path}{spot} does not take this value",
            describe_type(kind),
            shown,
            _choice(value, spot, kind) or f"give {path} {describe_type(kind)}",
        )

    def _is_secret(self, path: str) -> bool:
        origin = self.origins.get(path)
        return origin is not None and origin.secret

    def _is_given(self, path: str) -> bool:
        origin = self.origins.get(path)
        return origin is not None and origin.hidden

    def _invalid(self, section: str, error: Exception) -> None:
        self._add(
            "invalid-settings",
            section,
            f"the settings of [{section}] do not go together",
            "settings that the section's own rule accepts",
            str(error),
            "change the keys that the rule names",
        )

    def _add(self, code: str, path: str, what: str, expected: str, got: str, fix: str) -> None:
        self.problems.append(
            Problem(
                code=code,
                who=self.who,
                where=self._where(path),
                what=what,
                expected=expected,
                got=got,
                fix=fix,
            )
        )


def _readings(value: Any) -> Iterator[tuple[Any, bool]]:
    """Return what a value may mean, best first, with msgspec's ``strict``.

    Text written outside TOML is first read as TOML, then as text, then as text that msgspec
    may turn into numbers and truth values, and at last as a list with commas between its items.
    """
    if not holds(value, Written) and not holds(value, Secret):
        yield value, True
        return
    if holds(value, Written):
        yield reveal(value, _as_toml), True
    plain = reveal(value)
    yield plain, True
    yield plain, False
    if isinstance(value, Written):
        yield [item.strip() for item in value.split(",") if item.strip()], False


def _as_toml(text: Written) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return str(text)
    return document["value"] if document.keys() == {"value"} else str(text)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory()


def _choice(value: Any, spot: str, kind: Any) -> str:
    """Return ``did you mean`` for a text that is none of those to choose from, or empty."""
    got = reveal(_at(value, spot))
    choices = re.findall(r'"([^"]+)"', describe_type(kind))
    return did_you_mean(got, choices) if isinstance(got, str) else ""


def _takes_secret(kind: Any) -> bool:
    return "a secret" in describe_type(kind)


def _at(value: Any, spot: str) -> Any:
    """Return what is at msgspec's path in a value, or the value when that cannot be told."""
    for index in re.findall(r"\[(\d+)\]", spot):
        if isinstance(value, list | tuple) and int(index) < len(value):
            value = value[int(index)]
    return value
