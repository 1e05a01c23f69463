"""The line of each key in a TOML document.

``tomllib`` returns values without positions. This scanner splits a document into statements. It
does not check the syntax, because ``tomllib`` does. Source: the TOML 1.0.0 specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: The path of a key: names of tables and keys as text, array indexes as numbers.
Path = tuple[str | int, ...]

#: A token and its line.
Token = tuple[str, int]

#: Strings (the longer quotes first), quotes of unclosed strings, comments, punctuation, and
#: everything else but white space.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"""'
    r"|'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\"'\[\]{},=.\n]|[^\s\"'#\[\]{},=.]+",
    re.DOTALL,
)


def lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every table header, key and array element.

    The keys of an inline table are not included: they are on the line of the table.
    """
    found: dict[Path, int] = {}
    table: Path = ()
    arrays: dict[Path, int] = {}
    for statement in _statements(text):
        tokens = [token for token, _ in statement]
        if tokens[0] == "[":
            table = _names(token for token in tokens if token not in ("[", "]"))
            if tokens[1] == "[":
                arrays[table] = arrays.get(table, -1) + 1
                table = (*table, arrays[table])
            path = table
        else:
            end = tokens.index("=")
            path = (*table, *_names(tokens[:end]))
            for number, line in enumerate(_elements(statement[end + 1 :])):
                found[(*path, number)] = line
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], statement[0][1])
    return found


def unclosed(text: str) -> int:
    """Return the line where an unclosed string, list or table begins; by default the last line."""
    opened: list[int] = []
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ('"', "'", '"""', "'''"):
            return line
        if token in ("[", "{"):
            opened.append(line)
        elif token in ("]", "}"):
            del opened[-1:]
        line += token.count("\n")
    return opened[-1] if opened else text.rstrip().count("\n") + 1


def _statements(text: str) -> Iterator[list[Token]]:
    """Yield the tokens of each table header and ``key = value``, without comments."""
    statement: list[Token] = []
    line = 1
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "\n":
            if statement and depth == 0:
                yield statement
                statement = []
        elif not token.startswith("#"):
            depth += (token in ("[", "{")) - (token in ("]", "}"))
            statement.append((token, line))
        line += token.count("\n")
    if statement:
        yield statement


def _names(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(token[1:-1] if token[0] in "\"'" else token for token in tokens if token != ".")


def _elements(value: list[Token]) -> Iterator[int]:
    """Yield the line of each element of an array; nothing for another value."""
    if value[0][0] != "[":
        return
    depth = 0
    begins = False
    for token, line in value:
        depth -= token in ("]", "}")
        if begins and depth > 0:
            yield line
        depth += token in ("[", "{")
        begins = depth == 1 and token in ("[", ",")
