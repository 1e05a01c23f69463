"""The texts of problems, which are in ``messages.toml``."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from rolehost.errors import Problem


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    """Return the texts of all problems; the file is read at the first call."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def problem(
    message: str, *, who: str, where: str, code: str = "", hint: str = "", **values: object
) -> Problem:
    """Return a problem with its texts.

    Args:
        message: a table of ``messages.toml``: the code of the problem, and after a dot a variant.
        code: the code, if several problems share one table; empty: the code in ``message``.
        who: the plugin or deployment that has the problem.
        where: its source location.
        hint: replaces the ``fix`` of the table, for example "did you mean"; empty: no replacement.
        values: for the placeholders.
    """
    filled = {name: text.format_map(values) for name, text in texts()[message].items()}
    filled["fix"] = hint or filled["fix"]
    return Problem(code=code or message.partition(".")[0], who=who, where=where, **filled)
