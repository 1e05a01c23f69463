"""The texts of problems, apart from the code that finds them: see ``messages.toml``."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from rolehost.errors import Problem


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    """Return the texts of every problem, read when the first one is needed."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def problem(
    message: str, *, who: str, where: str, code: str = "", hint: str = "", **values: object
) -> Problem:
    """Return a problem with its texts.

    Args:
        message: a table of ``messages.toml``: the code of the problem, and after a dot a variant.
        code: another code, where several problems share their texts.
        who: the plugin or deployment that has the problem.
        where: its source location.
        hint: a better fix than the one in the table, for example "did you mean"; may be empty.
        values: for the placeholders.
    """
    filled = {name: text.format_map(values) for name, text in texts()[message].items()}
    filled["fix"] = hint or filled["fix"]
    return Problem(code=code or message.partition(".")[0], who=who, where=where, **filled)
