"""The commands of docs/fleet.md and docs/operations.md print the shown output."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from tests.docs.author import ROLEHOST
from tests.docs.pages import Block, blocks
from tests.proofs.kit import ROOT

PAGES = [ROOT / "docs/fleet.md", ROOT / "docs/operations.md"]

#: Commands that connect to nothing.
OFFLINE = re.compile(r"\$ rolehost (fleet check|why) ")

#: The files reference these variables; any value will do.
VARIABLES = {
    "ROLEHOST_WEBHOOKS_TOKEN": "token",
    "ROLEHOST_OPERATOR_TOKEN": "token",
    "ROLEHOST_POSTGRES_URL": "postgresql://db.internal/rolehost",
    "ROLEHOST_REDIS_URL": "redis://redis.internal",
    "ROLEHOST_KAFKA_SERVERS": "kafka.internal:9092",
}

SHOWN = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "console" and OFFLINE.match(block.text)
]


def plain(text: str) -> str:
    """Return text without line numbers, which other changes move."""
    return re.sub(r":\d+\b", ":N", text.rstrip())


def test_there_are_commands_to_run() -> None:
    assert len(SHOWN) == 3


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_a_command_prints_the_output_of_the_page(block: Block) -> None:
    line, _, shown = block.text.partition("\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROLEHOST")}
    done = subprocess.run(
        [ROLEHOST, *shlex.split(line)[2:]],
        cwd=ROOT,
        env=kept | VARIABLES,
        capture_output=True,
        text=True,
        check=False,
    )
    beginning, cut, _ = plain(shown).partition("\n…")
    printed = plain(done.stdout)
    assert printed[: len(beginning)] == beginning, done.stderr
    assert cut or printed == beginning
