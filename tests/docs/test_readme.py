"""The examples of the README work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.author import ROLEHOST, call, install
from tests.docs.pages import blocks, extract
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, free_port, running

README = ROOT / "README.md"


def test_the_plugin_of_thirty_lines_is_that_short_and_answers(tmp_path: Path) -> None:
    extract(README, tmp_path)
    source = (tmp_path / "hello/rolehost_hello.py").read_text("utf-8")
    assert len([line for line in source.splitlines() if line.strip()]) <= 30
    port = free_port()
    environ = install(tmp_path / "hello", tmp_path / "site")
    environ["ROLEHOST__HTTP__BIND"] = f"127.0.0.1:{port}"
    with running([ROLEHOST, "run", "--plugins", "embedded,hello"], tmp_path, environ) as host:
        host.until(READY)
        assert call(f"http://127.0.0.1:{port}/hello?name=Ada", {}) == (202, {"job": 1})
        host.until("Hello, Ada! (job 1, attempt 1)")


def test_every_command_of_the_readme_that_only_looks_is_run() -> None:
    lines = [
        line.partition("#")[0].split()
        for block in blocks(README)
        if block.language == "sh" and "terminal" not in block.attributes
        for line in block.text.splitlines()
    ]
    environ: dict[str, str] = {}
    looked = 0
    for words in lines:
        if words[:1] == ["export"]:
            environ |= [word.split("=", 1) for word in words[1:]]
        elif words[:1] == [".venv/bin/rolehost"] and "run" not in words:
            with running([ROLEHOST, *words[1:]], ROOT, environ) as command:
                assert command.wait() == 0, command.output
            looked += 1
    assert looked >= 3


@pytest.mark.parametrize("name", ["scripts/run.sh", "scripts/test.sh"])
def test_both_commands_stand_where_a_reader_looks_first(name: str) -> None:
    first = next(block for block in blocks(README) if block.language == "sh")
    assert name in first.text
