"""Part of ``upgrade``: earlier versions of the host, installed from the history of this repository.

Each version has a virtual environment in ``.cache/earlier``, with the libraries that it was locked
to. Building one takes about half a minute and needs a package index.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.proofs.kit import ROOT, Unavailable

_CACHE = ROOT / ".cache" / "earlier"

#: What an installation needs of the tree.
_PARTS = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "host", "migrations", "plugins")
_LOCK = "scripts/requirements/runtime.txt"
_DISTRIBUTIONS = (".", "./plugins/postgres", "./plugins/embedded")

#: By schema, its last commit that can start, if later ones cannot: each of them has a part of a
#: change.
_STARTS = {1: "31723fe51ed4"}

_NUMBER = re.compile(r"(\d{4})_.*\.sql")


class Version(NamedTuple):
    """A version of the host.

    Attributes:
        schema: number of the host's newest migration.
        commit: the last commit with this schema; empty for the working tree.
        python: the interpreter of its environment.
    """

    schema: int
    commit: str
    python: Path

    @property
    def name(self) -> str:
        """``old`` or ``new``."""
        return "old" if self.commit else "new"


def this_version() -> Version:
    """Return the version of the working tree."""
    files = [path.name for path in (ROOT / "migrations").glob("*.sql")]
    return Version(max(int(name[:4]) for name in files), "", Path(sys.executable))


def earlier_schemas() -> list[tuple[int, str]]:
    """Return number and last commit of each earlier schema, oldest first.

    Schemas that the working tree cannot upgrade are left out: the files of a migration that was
    never released may still change.

    Raises:
        Unavailable: there is no history, or only a part of it.
    """
    shallow = _git("rev-parse", "--is-shallow-repository").strip()
    if shallow != "false":
        raise Unavailable("the history is incomplete; fix: git fetch --unshallow")
    present = _migrations("HEAD") | _changed()
    found: dict[int, str] = {}
    changes = _git("rev-list", "--reverse", "HEAD", "--", "migrations").split()
    for commit in changes[1:]:
        before = _migrations(f"{commit}^")
        numbers = {int(name[:4]) for name in before}
        if before and before.items() < present.items() and _complete(before):
            last = _STARTS.get(max(numbers), f"{commit}^")
            found[max(numbers)] = _git("rev-parse", last).strip()
    return sorted(found.items())


def _complete(files: Mapping[str, str]) -> bool:
    """Return whether both dialects have the numbers from 1 on, once each."""
    return all(
        sorted(int(name[:4]) for name in files if name.endswith(f".{dialect}.sql"))
        == list(range(1, max(int(name[:4]) for name in files) + 1))
        for dialect in ("sqlite", "postgresql")
    )


def _migrations(commit: str) -> dict[str, str]:
    """Return the host's migration files of a commit, with the ids of their contents."""
    found = {}
    for line in _git("ls-tree", f"{commit}:migrations").splitlines():
        about, _, name = line.partition("\t")
        if _NUMBER.fullmatch(name):
            found[name] = about.split()[2]
    return found


def _changed() -> dict[str, str]:
    """Return the files of the working tree, which may not be committed."""
    files = sorted((ROOT / "migrations").glob("*.sql"))
    ids = _git("hash-object", *map(str, files)).split()
    return {path.name: number for path, number in zip(files, ids, strict=True)}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Unavailable(
            "earlier versions come from the history of this repository, which is not here; fix:"
            f" run this in a clone ({error.stderr.strip()})"
        ) from None
    return done.stdout


def install(schema: int, commit: str) -> Version:
    """Return a version with its environment, made if it is missing.

    Raises:
        Unavailable: its libraries cannot be installed.
    """
    folder = _CACHE / commit[:12]
    version = Version(schema, commit, folder / "venv" / "bin" / "python")
    ready = folder / "ready"
    if ready.exists():
        return version
    shutil.rmtree(folder, ignore_errors=True)
    tree = folder / "tree"
    tree.mkdir(parents=True)
    packed = subprocess.run(
        ["git", "archive", commit, *_PARTS, _LOCK], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(tree, filter="data")
    _run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=tree)
    pip = (str(version.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--require-hashes", "-r", _LOCK, cwd=tree)
    _run(*pip, "--no-deps", "--no-build-isolation", *_DISTRIBUTIONS, cwd=tree)
    ready.touch()
    return version


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(
            f"an earlier version cannot be installed: {' '.join(command[1:5])}:"
            f" {done.stderr.strip()[-500:]}"
        )
