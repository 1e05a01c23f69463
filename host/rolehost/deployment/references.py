"""References in the texts of a deployment: ``${NAME}``, ``${NAME:-default}``, ``${file:PATH}``.

``$${`` stands for ``${`` itself. What came from a file is a :class:`~rolehost.api.Secret`
from then on; what came from a variable is :class:`Written`, so that ``"${PORT}"`` may fill a
number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from rolehost.api.settings import Secret
from rolehost.deployment.sources import Sources
from rolehost.errors import Problem

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.DOTALL)


@final
class Written(str):
    """Text written outside TOML: the type of the setting that it fills decides what it means."""

    __slots__ = ()


@final
class Unresolved:
    """Stands where a reference could not be resolved, so that no second mistake is made of it."""

    __slots__ = ()


UNRESOLVED = Unresolved()


@dataclass(slots=True)
class Resolver:
    """Replaces references.

    Attributes:
        environ: the environment variables.
        who: the deployment, for messages.
        problems: every mistake met so far.
        sources: gives the texts of files.
        files: texts that came from files, alone and with what is around them.
        variables: likewise from environment variables; defaults are not among them.
    """

    environ: Mapping[str, str]
    who: str
    problems: list[Problem] = field(default_factory=list)
    sources: Sources = field(default_factory=Sources)
    files: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)

    def resolve(self, value: Any, origin: str, folder: Path) -> Any:
        """Return a value with its references replaced, in lists and tables too.

        Args:
            value: anything TOML has.
            origin: where it was written, for messages.
            folder: what relative file references start from.

        Returns:
            The value; :data:`UNRESOLVED` in place of a text that has a mistake in it.
        """
        if isinstance(value, str):
            text = self._text(value, origin, folder) if "${" in value else value
            return self._without_nul(text, origin)
        if isinstance(value, list):
            return [self.resolve(item, origin, folder) for item in value]
        if isinstance(value, dict):
            return {key: self.resolve(item, origin, folder) for key, item in value.items()}
        return value

    def _without_nul(
        self, text: str | Secret | Unresolved, origin: str
    ) -> str | Secret | Unresolved:
        """Refuse a NUL, which no path, host name, header or text of a database can hold."""
        plain = text.reveal() if isinstance(text, Secret) else text
        if isinstance(plain, Unresolved) or "\0" not in plain:
            return text
        self._problem(
            "nul-in-text",
            origin,
            "a text has a NUL (U+0000)",
            "a text without it",
            "a NUL, written here or in what a reference names",
            "remove it; a file that a reference names is UTF-8, not UTF-16",
        )
        return UNRESOLVED

    def _text(self, text: str, origin: str, folder: Path) -> str | Secret | Unresolved:
        mistakes = len(self.problems)
        from_file = from_variable = False
        named = len(self.variables)

        def replace(match: re.Match[str]) -> str:
            nonlocal from_file, from_variable
            inner = match.group(1)
            if inner is None:
                return "${"
            if inner.startswith("file:"):
                from_file = True
                return self._file(inner.removeprefix("file:"), origin, folder)
            from_variable = True
            return self._variable(inner, origin)

        result = _REFERENCE.sub(replace, text)
        if len(self.problems) > mistakes:
            return UNRESOLVED
        if from_file:
            self.files.append(result)
            return Secret(result)
        if len(self.variables) > named:
            self.variables.append(result)
        return Written(result) if from_variable else result

    def _variable(self, inner: str, origin: str) -> str:
        match = _NAME.match(inner)
        if match is None:
            self._problem(
                "invalid-reference",
                origin,
                f"${{{inner}}} is no reference",
                "${NAME}, ${NAME:-default} or ${file:PATH}",
                f"${{{inner}}}",
                "correct the reference, or write $${ for a plain ${",
            )
            return ""
        name, default = match.groups()
        value = self.environ.get(name)
        if value is not None:
            self.variables.append(value)
            return value
        if default is None:
            self._problem(
                "missing-variable",
                origin,
                f"the environment variable {name} is not set",
                f"a value in {name}, or a default: ${{{name}:-default}}",
                "no such variable",
                f"set {name} before starting, or give a default",
            )
            return ""
        return default

    def _file(self, name: str, origin: str, folder: Path) -> str:
        path = folder / name
        try:
            # One newline at the end is what editors and `echo` leave, not part of a secret.
            text = self.sources.text(path).removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            self._problem(
                "unreadable-secret",
                origin,
                f"the file {path} that a value refers to cannot be read",
                "a readable text file that holds the value",
                getattr(error, "strerror", None) or str(error),
                "create or mount the file, or correct the path: it starts at the naming file",
            )
            return ""
        self.files.append(text)
        return text

    def _problem(
        self, code: str, origin: str, what: str, expected: str, got: str, fix: str
    ) -> None:
        self.problems.append(
            Problem(
                code=code,
                who=self.who,
                where=origin,
                what=what,
                expected=expected,
                got=got,
                fix=fix,
            )
        )


def reveal(value: Any, written: Callable[[Written], Any] = str) -> Any:
    """Return a value with secrets as text and written texts as ``written`` makes them."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Written):
        return written(value)
    if isinstance(value, Mapping):
        return {key: reveal(item, written) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item, written) for item in value]
    return value


def holds(value: Any, kind: type[Any]) -> bool:
    """Say whether a value is, or holds somewhere, an instance of ``kind``."""
    if isinstance(value, Mapping):
        return any(holds(item, kind) for item in value.values())
    if isinstance(value, list | tuple):
        return any(holds(item, kind) for item in value)
    return isinstance(value, kind)
