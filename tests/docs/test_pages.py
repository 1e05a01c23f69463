"""Links have targets, examples are well-formed, and the named commands exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rolehost.discovery.commands import HOST, tool_commands

from tests.docs.pages import PAGES, Block, blocks
from tests.proofs.kit import ROOT

BLOCKS = [block for page in PAGES for block in blocks(page)]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "python"], ids=str)
def test_every_python_example_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "toml"], ids=str)
def test_every_toml_example_is_toml(block: Block) -> None:
    tomllib.loads(block.text)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "sh"], ids=str)
def test_every_command_of_ours_in_a_shell_example_exists(block: Block) -> None:
    commands = {*HOST, *(name.split()[0] for name in tool_commands())} | _contributed()
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].startswith("scripts/"):
            assert (ROOT / words[0]).stat().st_mode & 0o111, words[0]
        if words and words[0].endswith("rolehost") and not words[1].startswith("-"):
            assert words[1] in commands, line


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_of_ours_in_the_text_exists(page: Path) -> None:
    commands = {*HOST, *(name.split()[0] for name in tool_commands())} | _contributed()
    text = page.read_text("utf-8")
    assert set(re.findall(r"`rolehost ([a-z]+)[ `]", text)) <= commands
    for script in set(re.findall(r"`(scripts/[\w./]+)", text)):
        assert (ROOT / script).exists(), script


def _contributed() -> set[str]:
    names = set()
    for entry in entry_points(group="rolehost"):
        declare = getattr(entry.load(), "rolehost_commands", None)
        names.update(command.name for command in (declare() if declare else ()))
    return names
