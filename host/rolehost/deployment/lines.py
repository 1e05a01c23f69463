"""On which line each key of a TOML document stands.

``tomllib`` gives values without positions. This scanner walks a document that ``tomllib`` has
accepted, so it need not judge, only count. Source: the TOML 1.0.0 specification.
"""

from __future__ import annotations

import re

#: A key's path: table names and keys as text, positions in arrays as numbers.
Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every table header, key and array element.

    Args:
        text: a document that ``tomllib.loads`` accepts.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.counted = (0, 1)
        self.found: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        """Walk the document statement by statement."""
        table: Path = ()
        arrays: dict[Path, int] = {}
        self.skip(_BLANK)
        while self.at < len(self.text):
            line = self.line()
            if self.text[self.at] == "[":
                double = self.text.startswith("[[", self.at)
                self.at += 2 if double else 1
                table = self.key()
                self.at += 2 if double else 1
                if double:
                    arrays[table] = arrays.get(table, -1) + 1
                    table = (*table, arrays[table])
                self.note(table, line)
            else:
                self.pair(table)
            self.skip(_BLANK)
        return self.found

    def pair(self, table: Path) -> None:
        """Walk ``key = value``."""
        line = self.line()
        path = (*table, *self.key())
        self.at += 1  # the equals sign
        self.note(path, line)
        self.skip(_BLANK)
        self.value(path)

    def key(self) -> Path:
        """Walk a dotted key and return its parts; stops before what follows it."""
        parts: list[str | int] = []
        while True:
            self.skip(_SPACE)
            if self.text[self.at] in "\"'":
                start = self.at
                self.string()
                parts.append(self.text[start + 1 : self.at - 1])
            else:
                start = self.at
                self.skip(_BARE_KEY)
                parts.append(self.text[start : self.at])
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def value(self, path: Path) -> None:
        """Walk one value of any type."""
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.items("]", path)
        elif opening == "{":
            self.items("}", path)
        else:
            self.skip(_SCALAR)

    def items(self, closing: str, path: Path) -> None:
        """Walk an array or an inline table."""
        self.at += 1
        position = 0
        self.skip(_BLANK)
        while self.text[self.at] != closing:
            if closing == "]":
                self.note((*path, position), self.line())
                self.value((*path, position))
            else:
                self.pair(path)
            position += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1

    def string(self) -> None:
        """Walk a string; the longer quotes are tried first."""
        for pattern in _STRINGS:
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return
        raise ValueError(f"no string at position {self.at}: tomllib has not seen this text")

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Move past what the pattern matches here, if anything."""
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()

    def note(self, path: Path, line: int) -> None:
        """Keep the first line of a path and of the tables that its dots imply."""
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)

    def line(self) -> int:
        """Return the line of the current position, counting on from the last call."""
        position, line = self.counted
        line += self.text.count("\n", position, self.at)
        self.counted = (self.at, line)
        return line
