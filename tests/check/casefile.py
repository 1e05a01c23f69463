"""Bad deployments, one text file each, with the text that ``rolehost check`` must print.

A file is a comment and then named parts, as in Go's txtar: ``-- NAME --`` on a line begins one.
``rolehost.toml`` is the deployment. ``distributions`` has one line for each installed plugin,
``DISTRIBUTION VERSION NAME = TARGET``, and makes real metadata of it. ``environment`` sets
variables, ``needs`` names modules without which the case is left out, ``expected`` is the golden
text. Every other part is a file beside the deployment, on the import path.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).with_name("cases")
ISOLATED = Path(__file__).with_name("isolated.py")

_PART = re.compile(r"^-- (.+) --\n", re.MULTILINE)
_RESERVED = ("distributions", "environment", "needs", "expected")

#: The labels of every problem.
WORDS = ("who", "where", "expected", "got", "fix")


@dataclass(frozen=True, slots=True)
class Case:
    """One bad deployment."""

    path: Path
    comment: str
    parts: dict[str, str]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def expected(self) -> str:
        return self.parts.get("expected", "")

    @property
    def missing(self) -> list[str]:
        """Modules that the case needs and that are not installed here."""
        names = self.parts.get("needs", "").split()
        return [name for name in names if importlib.util.find_spec(name) is None]

    def unpack(self, folder: Path) -> None:
        """Write the case's files, and metadata of its distributions, into a folder."""
        for name, text in self.parts.items():
            if name not in _RESERVED:
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        for line in self.parts.get("distributions", "").splitlines():
            distribution, version, entry = line.split(maxsplit=2)
            install(folder, distribution, version, entry)

    def check(self, folder: Path) -> tuple[int, str]:
        """Run ``rolehost check`` in a folder the case was unpacked to; return status and text."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ROLEHOST")
        }
        environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        for line in self.parts.get("environment", "").splitlines():
            name, _, value = line.partition("=")
            environment[name] = value
        done = subprocess.run(
            [sys.executable, str(ISOLATED), "check", "rolehost.toml"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).replace(str(folder), "HERE")

    def rewrite(self, text: str) -> None:
        """Put a new golden text into the file."""
        parts = self.parts | {"expected": text}
        body = "".join(f"-- {name} --\n{content}" for name, content in parts.items())
        self.path.write_text(self.comment + body, encoding="utf-8")


def install(folder: Path, distribution: str, version: str, entry: str) -> None:
    """Make a folder hold the metadata of an installed distribution with one more plugin."""
    stem = distribution.replace("-", "_")
    info = folder / f"{stem}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
    )
    points = info / "entry_points.txt"
    present = points.read_text("utf-8") if points.exists() else "[rolehost]\n"
    points.write_text(f"{present}{entry}\n", encoding="utf-8")


def cases() -> list[Case]:
    """Return every case, sorted by name."""
    found = []
    for path in sorted(CASES.glob("*.txt")):
        comment, *pieces = _PART.split(path.read_text("utf-8"))
        found.append(Case(path, comment, dict(zip(pieces[::2], pieces[1::2], strict=True))))
    return found


def parse_problems(text: str) -> list[dict[str, str]]:
    """Return the problems in a text: ``code``, and each of :data:`WORDS` as it stands there."""
    problems: list[dict[str, str]] = []
    for line in text.splitlines():
        label, separator, words = line.strip().partition(":")
        if line.startswith("  ") and separator and label in WORDS and problems:
            problems[-1][label] = words.strip()
        elif separator and re.fullmatch(r"[a-z]+(-[a-z]+)+", label):
            problems.append({"code": label})
    return problems
