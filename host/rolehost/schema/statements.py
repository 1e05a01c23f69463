"""Splits SQL text into statements; ignores semicolons in texts, comments and triggers."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Syntax that is skipped as a whole: texts, quoted names, comments, dollar quotes. If one is
#: never closed, it extends to the end of the text, and the database reports the error.
_OPAQUE = re.compile(
    r"""
      '(?:[^']|'')*(?:'|\Z)
    | "(?:[^"]|"")*(?:"|\Z)
    | `(?:[^`]|``)*(?:`|\Z)
    | --[^\n]*
    | (?P<block>/\*)
    | \$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")
_TRIGGER = re.compile(r"CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b", re.IGNORECASE)


def split(sql: str, dialect: str) -> tuple[str, ...]:
    """Return the statements of a text, without their semicolons and without empty ones.

    In the dialect ``sqlite`` the body of a trigger contains statements; in ``postgresql`` block
    comments nest.
    """
    return tuple(
        statement for statement in _statements(sql, dialect) if _without_comments(statement)
    )


def _statements(sql: str, dialect: str) -> Iterator[str]:
    start = position = depth = 0
    trigger: bool | None = None  # unknown until the statement's first word
    while match := _OPAQUE.search(sql, position):
        position = match.end()
        if match["block"]:
            position = _end_of_block(sql, position, nested=dialect == "postgresql")
        elif word := match["word"]:
            if trigger is None:
                trigger = dialect == "sqlite" and bool(_TRIGGER.match(sql, match.start()))
            if trigger:
                depth += {"BEGIN": 1, "CASE": 1, "END": -1}.get(word.upper(), 0)
        elif match["end"] and depth <= 0:
            yield sql[start : match.start()].strip()
            start, depth, trigger = position, 0, None
    yield sql[start:].strip()


def _end_of_block(sql: str, position: int, *, nested: bool) -> int:
    depth = 1
    for match in _BLOCK.finditer(sql, position):
        if match[0] == "*/":
            depth -= 1
        elif nested:
            depth += 1
        if depth == 0:
            return match.end()
    return len(sql)


def _without_comments(statement: str) -> str:
    kept = re.sub(r"--[^\n]*", "", statement)
    return re.sub(r"/\*.*?\*/", "", kept, flags=re.DOTALL).strip()
