"""Translates statements from the host's parameter style, ``?``, to the driver's, ``%s``."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from itertools import count

#: Where a question mark is not a parameter: in texts, quoted names, comments and dollar quotes
#: (https://www.postgresql.org/docs/current/sql-syntax-lexical.html).
_PARTS = re.compile(
    r"""
      (?P<opaque>
        \b[eE]'(?:[^'\\]|''|\\.)*'
      | '(?:[^']|'')*'
      | "(?:[^"]|"")*"
      | --[^\n]*
      | /\*.*?\*/
      | \$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$
      )
    | (?P<mark>\?)
    | (?P<percent>%)
    """,
    re.VERBOSE | re.DOTALL,
)
_INSERT = re.compile(
    r"(?P<head>\s*INSERT\s.*\bVALUES\s*)"
    r"(?P<row>\((?:\s*%s\s*,)*\s*%s\s*\))"
    r"(?P<tail>\s*(?:ON\s+CONFLICT\b.*\bDO\s+NOTHING\s*)?)",
    re.IGNORECASE | re.DOTALL,
)


@lru_cache(maxsize=1024)
def translate(sql: str) -> str:
    """Return a statement with ``%s`` for each parameter, and every other ``%`` doubled."""
    return _PARTS.sub(_part, sql)


def _part(match: re.Match[str]) -> str:
    if match["mark"]:
        return "%s"
    return match[0].replace("%", "%%")


@lru_cache(maxsize=64)
def prepared(sql: str) -> tuple[str, str]:
    """Return the statement that prepares another one in a session, and the one that runs it."""
    name = f"rolehost_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
    numbers = count(1)
    text = _PARTS.sub(lambda match: f"${next(numbers)}" if match["mark"] else match[0], sql)
    places = ", ".join(["%s"] * (next(numbers) - 1))
    return (
        f"PREPARE {name} AS {text}",
        f"EXECUTE {name} ({places})" if places else f"EXECUTE {name}",
    )


@lru_cache(maxsize=256)
def many_rows(sql: str) -> tuple[str, str, str] | None:
    """Divide a translated INSERT into the text before its row of parameters, the row, the rest.

    Returns:
        None if the statement is not such an INSERT, or if one statement with several rows would
        differ from several statements (``ON CONFLICT … DO UPDATE``, ``RETURNING``).
    """
    match = _INSERT.fullmatch(sql)
    if match is None:
        return None
    # Head and tail are not formatted, so doubled percent signs become single again.
    return match["head"].replace("%%", "%"), match["row"], match["tail"].replace("%%", "%")
