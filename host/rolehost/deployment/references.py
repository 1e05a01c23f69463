"""References in the texts of a deployment: ``${NAME}``, ``${NAME:-default}``, ``${file:PATH}``.

``$${`` stands for ``${`` itself. A text from a file becomes a :class:`~rolehost.api.Secret`; a
text from a variable becomes :class:`Untyped`, so that ``"${PORT}"`` may fill a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import msgspec

from rolehost.api.settings import Secret
from rolehost.deployment.files import ProblemList, Sources

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.DOTALL)


@final
class Untyped(str):
    """Text of the environment, not of TOML; the type of its setting decides how it is decoded."""

    __slots__ = ()


@final
class Unresolved:
    """Replaces a text with a wrong reference, so that only one problem is reported."""

    __slots__ = ()


UNRESOLVED = Unresolved()


class Resolver:
    """Replaces references, and collects their texts and the texts that result.

    ``files``: texts from file references. ``variables``: texts from variables, without defaults.
    """

    def __init__(self, environ: Mapping[str, str], sources: Sources, problems: ProblemList) -> None:
        self._environ = environ
        self._sources = sources
        self._problems = problems
        self.files: list[str] = []
        self.variables: list[str] = []

    def resolve(self, value: Any, origin: str, folder: Path) -> Any:
        """Return a value with its references replaced, in lists and tables too.

        File references are relative to ``folder``. A wrong reference gives :data:`UNRESOLVED`.
        """
        if isinstance(value, str):
            text = self._text(value, origin, folder) if "${" in value else value
            if isinstance(text, Unresolved) or "\0" not in reveal(text):
                return text
            # No path, host name, header or text in a database can contain a NUL.
            self._problems.add("nul-in-text", origin)
            return UNRESOLVED
        if isinstance(value, list):
            return [self.resolve(item, origin, folder) for item in value]
        if isinstance(value, dict):
            return {key: self.resolve(item, origin, folder) for key, item in value.items()}
        return value

    def _text(self, text: str, origin: str, folder: Path) -> str | Secret | Unresolved:
        problems, variables = len(self._problems), len(self.variables)
        from_file = from_variable = False

        def replace(match: re.Match[str]) -> str:
            nonlocal from_file, from_variable
            inner = match.group(1)
            if inner is None:
                return "${"
            if inner.startswith("file:"):
                from_file = True
                return self._file(folder / inner.removeprefix("file:"), origin)
            from_variable = True
            return self._variable(inner, origin)

        result = _REFERENCE.sub(replace, text)
        if len(self._problems) > problems:
            return UNRESOLVED
        if from_file:
            self.files.append(result)
            return Secret(result)
        if len(self.variables) > variables:
            self.variables.append(result)
        return Untyped(result) if from_variable else result

    def _variable(self, inner: str, origin: str) -> str:
        match = _NAME.match(inner)
        if match is None:
            self._problems.add("invalid-reference", origin, reference=inner)
            return ""
        name, default = match.groups()
        if name in self._environ:
            self.variables.append(self._environ[name])
            return self._environ[name]
        if default is None:
            self._problems.add("missing-variable", origin, name=name)
        return default or ""

    def _file(self, path: Path, origin: str) -> str:
        try:
            # Editors and `echo` leave one newline at the end, which is not part of a secret.
            text = self._sources.text(path).removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._problems.add("unreadable-secret", origin, path=path, reason=reason)
            return ""
        self.files.append(text)
        return text


def reveal(value: Any, convert: Callable[[Untyped], Any] = str) -> Any:
    """Return a value with secrets as text; ``convert`` is called for each :class:`Untyped`."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Untyped):
        return convert(value)
    if isinstance(value, Mapping):
        return {key: reveal(item, convert) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item, convert) for item in value]
    return value


def contains(value: Any, kind: type[Any]) -> bool:
    """Return whether a value is or contains an instance of ``kind``."""
    return any(isinstance(leaf, kind) for leaf in _leaves(value))


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the texts of all secrets in a decoded setting or section."""
    return (leaf.reveal() for leaf in _leaves(value) if isinstance(leaf, Secret))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    elif isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        yield value
        return
    for item in value:
        yield from _leaves(item)
