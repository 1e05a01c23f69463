"""The tables of docs/grades.md: the criteria of each level, and the grades of our plugins."""

from __future__ import annotations

import re
from pathlib import Path

from rolehost_testing.grading import CRITERIA, LEVELS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "grades.md"


def page() -> str:
    """Return docs/grades.md with an updated table of criteria."""
    text = PAGE.read_text("utf-8")
    parts = []
    for level in LEVELS:
        rows = [
            f"| `{each.name}` | {each.what} | {each.advice} |"
            for each in CRITERIA
            if each.level == level
        ]
        head = f"### {level.capitalize()}\n\n| criterion | requirement | fix |\n|---|---|---|"
        parts.append("\n".join([head, *rows]))
    return put(text, "criteria", "\n\n".join(parts))


def put(text: str, name: str, inside: str) -> str:
    """Return a page with the text between two of its comments replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{inside}\n\n{end}", text)
