"""The line of each key in a TOML document.

``tomllib`` gives values without positions. This scanner walks a document that ``tomllib`` has
accepted, so it does not check the syntax. Source: the TOML 1.0.0 specification.
"""

from __future__ import annotations

import re
from bisect import bisect_left

#: The path of a key: names of tables and keys as text, positions in arrays as numbers.
Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
#: The longer quotes first.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
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
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.found: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        """Walk the document statement by statement."""
        table: Path = ()
        arrays: dict[Path, int] = {}
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                start = self.at
                width = 2 if self.text.startswith("[[", start) else 1
                self.at += width
                table = self.key()
                self.at += width
                if width == 2:
                    arrays[table] = arrays.get(table, -1) + 1
                    table = (*table, arrays[table])
                self.note(table, start)
            else:
                self.pair(table)
            self.skip(_BLANK)
        return self.found

    def pair(self, table: Path) -> None:
        """Walk ``key = value``."""
        start = self.at
        path = (*table, *self.key())
        self.at += 1  # the equals sign
        self.note(path, start)
        self.skip(_BLANK)
        self.value(path)

    def key(self) -> Path:
        """Walk a dotted key and return its parts; stop before the next character."""
        parts: list[str | int] = []
        while True:
            self.skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            part = self.skip(_STRING if quoted else _BARE_KEY)
            parts.append(part[1:-1] if quoted else part)
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def value(self, path: Path) -> None:
        """Walk one value of any type."""
        opening = self.text[self.at]
        if opening in "\"'":
            self.skip(_STRING)
        elif opening in "[{":
            self.items("]" if opening == "[" else "}", path)
        else:
            self.skip(_SCALAR)

    def items(self, closing: str, path: Path) -> None:
        """Walk an array or an inline table."""
        self.at += 1
        position = 0
        self.skip(_BLANK)
        while self.text[self.at] != closing:
            if closing == "]":
                self.note((*path, position), self.at)
                self.value((*path, position))
            else:
                self.pair(path)
            position += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Move past the text that the pattern matches here, and return it."""
        match = pattern.match(self.text, self.at)
        assert match is not None, f"position {self.at}: tomllib has not seen this text"
        self.at = match.end()
        return match[0]

    def note(self, path: Path, at: int) -> None:
        """Keep the first line of a path and of the tables that its dots imply."""
        line = bisect_left(self.ends, at) + 1
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)
