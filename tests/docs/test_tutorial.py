"""The commands, files and changes of docs/writing-a-plugin.md work."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.author import ROLEHOST, install
from tests.docs.pages import Block, blocks, extract
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, eventually, free_port, running

PAGE = ROOT / "docs/writing-a-plugin.md"
BIN = ROLEHOST.parent

#: The address of the host in the page.
ADDRESS = "127.0.0.1:8000"


def commands(name: str) -> list[str]:
    """The commands of one block of the page, ``run=NAME``."""
    (block,) = [each for each in blocks(PAGE) if each.attributes.get("run") == name]
    return block.text.strip().splitlines()


class Workshop:
    """The folder of an author who follows the page."""

    def __init__(self, folder: Path) -> None:
        self.top = folder
        self.folder = folder
        self.port = free_port()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.top / "site"),
            "ROLEHOST__HTTP__BIND": f"127.0.0.1:{self.port}",
        }

    def follow(self, name: str) -> str:
        """Run the commands of a block; return their output."""
        said = ""
        for line in commands(name):
            words = shlex.split(line.replace(ADDRESS, f"127.0.0.1:{self.port}"))
            if words[0] == "cd":
                self.folder /= words[1]
                continue
            said += self.run(*words)
        return said

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self) -> None:
        """Install as in the page, but into a separate folder and without an index."""
        assert commands("install") == ["pip install -e '.[test]'"]
        install(self.folder, self.top / "site")

    def change(self) -> None:
        """Write the page's files, and apply its changes."""
        extract(PAGE, self.top)
        for block in (each for each in blocks(PAGE) if "patch" in each.attributes):
            self.apply(block)

    def apply(self, block: Block) -> None:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=self.top / block.attributes["patch"],
            # Not in a repository that may be around the folder.
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(self.top.parent)},
            input=block.text,
            text=True,
            check=True,
        )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The generated plugin and then the changed plugin, both tested as in the page."""
    shop = Workshop(tmp_path_factory.mktemp("tutorial"))
    shop.follow("begin")
    shop.install()
    assert " passed" in shop.follow("test")
    shop.change()
    shop.install()
    return shop


@pytest.fixture
def host(workshop: Workshop) -> Iterator[Workshop]:
    command = shlex.split(commands("run")[0])
    with running([BIN / command[0], *command[1:]], workshop.folder, workshop.environ) as host:
        host.until(READY)
        yield workshop


def test_the_changed_plugin_passes_its_tests_and_its_migration_goes_both_ways(
    workshop: Workshop,
) -> None:
    said = workshop.follow("again")
    assert " passed" in said
    assert "ok: 2 plugins, roles: http, scheduler, consumer, worker" in said
    assert "applied guestbook/0002_likes" in said
    assert "reverted guestbook/0002_likes" in said


def test_its_grade_is_the_one_of_the_page(workshop: Workshop) -> None:
    (line,) = commands("grade")
    said = workshop.run(*shlex.split(line), "--source", ".")
    assert "guestbook (rolehost-guestbook 0.1.0): gold" in said


def test_an_item_and_a_like_go_through_every_role(host: Workshop) -> None:
    created, listed = commands("use")
    item = _answer(host, created)
    assert _answer(host, created) == item
    # A job writes the text, and an event counts: either may come first.
    items = eventually(
        lambda: _answer(host, listed), lambda got: got[0]["counted"] == 1 and got[0]["text"]
    )
    assert [(each["text"], each["counted"]) for each in items] == [("Hello, Ada!", 1)]
    likes = f"curl -X POST http://{ADDRESS}/guestbook/items/{item['id']}/likes"
    assert _answer(host, likes) is None
    items = eventually(lambda: _answer(host, listed), lambda got: got[0]["text"][:5] == "Liked")
    assert [each["text"] for each in items] == ["Liked 1 times"]


def _answer(workshop: Workshop, line: str) -> Any:
    words = shlex.split(line.replace(ADDRESS, f"127.0.0.1:{workshop.port}"))
    text = workshop.run(words[0], "--silent", "--fail", *words[1:])
    return json.loads(text) if text else None


def test_it_builds(workshop: Workshop) -> None:
    (line,) = commands("build")
    workshop.run(sys.executable, *shlex.split(line)[1:], "--wheel", "--no-isolation")
    assert [path.name for path in (workshop.folder / "dist").iterdir()] == [
        "rolehost_guestbook-0.1.0-py3-none-any.whl"
    ]
