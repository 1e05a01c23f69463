"""The pages of this repository, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.proofs.kit import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[pc]*/*/*.md")])

_BLOCK = re.compile(r"^( *)```(\w+)(?: (\w+)=(\S+))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        page: where it stands.
        line: number of its first line there, from 1.
        language: first word after the fence.
        attributes: what follows it: ``title=FILE`` or ``terminal=NUMBER``.
        text: its lines, without the indentation of the fence.
    """

    page: Path
    line: int
    language: str
    attributes: dict[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        indent, language, name, value, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        plain = "\n".join(each.removeprefix(indent) for each in body.split("\n"))
        found.append(Block(page, line, language, {name: value} if name else {}, plain))
    return found


def extract(page: Path, folder: Path) -> None:
    """Write every titled block of a page into the file of its title."""
    for block in blocks(page):
        if "title" in block.attributes:
            path = folder / block.attributes["title"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
