"""Wheels, a fresh environment beside the tree, and a deployment file that changes by lines."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import venv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.proofs.kit import ROOT, Unavailable

#: Parts of the tree that other users get as wheels from an index.
PARTS = (
    ".",
    "plugins/embedded",
    "plugins/ops",
    "contrib/control",
    "contrib/fleet",
    "contrib/testing",
)


class Ground:
    """A separate environment in a folder; its commands do not see the tree.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "index"
        self.bin = folder / "site" / "bin"
        self.work = folder / "work"
        self.work.mkdir()
        # Where pyenv looks for the interpreters that tox asks for.
        shutil.copy(ROOT / ".python-version", self.work)
        self._folder = folder

    @property
    def environ(self) -> dict[str, str]:
        """Variables of every command: pip finds the host's wheels, and no setting leaks in."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROLEHOST", "PYTHON", "TOX", "VIRTUAL_ENV"))
        }
        links = f"{os.environ.get('PIP_FIND_LINKS', '')} {self.wheels}".strip()
        return {**kept, "PIP_FIND_LINKS": links, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def build(self, parts: Sequence[str] = PARTS) -> int:
        """Build the wheels of the host and of the plugins of the proof; return their number."""
        source = self._folder / "source"
        source.mkdir()
        host = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "host", "migrations")
        listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--")
        names = subprocess.run([*listed, *host, *parts[1:]], cwd=ROOT, capture_output=True)
        present = b"".join(
            name + b"\0"
            for name in names.stdout.split(b"\0")
            if name and (ROOT / name.decode()).is_file()
        )
        packed = subprocess.run(
            ["tar", "--null", "-T", "-", "-cf", "-"],
            cwd=ROOT,
            input=present,
            capture_output=True,
            check=True,
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(source, filter="data")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda part: self.wheel(source / part, self.wheels), parts))
        return len(list(self.wheels.glob("*.whl")))

    def wheel(self, source: Path, target: Path) -> None:
        """Build one wheel, with the build backend that is at hand."""
        command = [sys.executable, "-m", "build", "--quiet", "--wheel", "--no-isolation"]
        self.run([*command, "--outdir", str(target), str(source)])

    def make(self) -> None:
        """Make the environment: the host with its roles, storage without a server, probes."""
        venv.create(self.bin.parent, with_pip=False)
        done = self.pip(
            "install",
            "rolehost[http,worker,scheduler,control,fleet,testing]",
            "rolehost-embedded",
            "rolehost-ops",
        )
        if done.returncode:
            raise Unavailable(f"the package registry cannot be reached: {done.stderr[-300:]}")

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pip on the environment."""
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        return subprocess.run(
            [*command, *arguments, "--quiet"],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *wheels: Path) -> None:
        """Install wheels that an author built, as their users do."""
        done = self.pip("install", *map(str, wheels))
        assert done.returncode == 0, done.stdout + done.stderr

    def run(
        self, command: Sequence[str | Path], cwd: Path | None = None, status: int | None = 0
    ) -> str:
        """Run a command; return its output.

        Args:
            command: the command and its arguments.
            cwd: where; None is the author's folder.
            status: the exit status that it must have; None is any.
        """
        done = subprocess.run(
            command,
            cwd=cwd or self.work,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        if status is not None:
            shown = " ".join(map(str, command))
            assert done.returncode == status, f"{shown}: status {done.returncode}\n{said}"
        return said

    def rolehost(self, *arguments: str, status: int = 0) -> str:
        """Run ``rolehost`` of the environment in the author's folder."""
        return self.run([self.bin / "rolehost", *arguments], status=status)

    def listed(self, *commands: str) -> dict[str, Any]:
        """Return the output of listings, by command."""
        return {each: json.loads(self.rolehost(each, "--json")) for each in commands}


def call(
    url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    """Send one request; return status, decoded body and headers in lower case."""
    data = None if body is None else json.dumps(body).encode()
    sent = {} if data is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, {**sent, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)


def _answer(answer: Any) -> tuple[int, Any, Mapping[str, str]]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    text = answer.read()
    try:
        return answer.status, json.loads(text or b"null"), headers
    except ValueError:
        return answer.status, text.decode(errors="replace"), headers
