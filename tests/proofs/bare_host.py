"""The host's wheel alone, in an environment with only its mandatory requirements."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tokenize
import venv
import zipfile
from pathlib import Path

from tests.proofs.kit import ROOT, Figures, Options, Unavailable

PROMISE = (
    "The host's wheel boots in an empty environment with no plugin, reports what is missing,"
    " imports no framework, driver or client, and has no code for tests or fleets, and at most"
    " 22,000 lines of code."
)
DURATION = "25 s"

#: Most lines of code of the host, without blank lines, comments and docstrings (decision 0043).
MOST_CODE = 22_000

#: Packages that only roles and plugins need; none of them may be installed or imported.
FOREIGN = ("dramatiq", "falcon", "gunicorn", "kafka", "peewee", "psycopg2", "redis")

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip

#: Runs a command in this process and prints its status and all imported modules.
FOOTPRINT = """
import json, sys
from rolehost.cli.main import invoke
status = invoke(sys.argv[1:])
print(json.dumps({"status": status, "modules": sorted(sys.modules)}))
"""


def prove(options: Options) -> Figures:
    """Build, install and run the host, and check its imports."""
    line = options.progress(6, "building the wheel")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        line.advance()
        line.relabel("installing it alone")
        python = install(wheel, folder / "environment")
        line.advance()
        found = json.loads(say(python, folder, "-c", _INSTALLED, *FOREIGN))
        there = sorted(set(found) & set(FOREIGN))
        assert not there, f"the wheel's mandatory requirements bring {', '.join(there)}"
        files = code(wheel)
        size = sum(map(code_lines, files.values()))
        assert size <= MOST_CODE, f"the host has {size} lines of code, at most {MOST_CODE}"
        modules = 0
        for arguments, status, words in _COMMANDS:
            line.relabel(f"rolehost {' '.join(arguments)}")
            modules = max(modules, footprint(python, folder, arguments, status, words))
            line.advance()
        began = time.monotonic()
        say(python, folder, "-m", "rolehost", "--version")
        return {
            "lines": sum(text.count("\n") for text in files.values()),
            "code_lines": size,
            "files": len(files),
            "packages": len(found),
            "modules": modules,
            "foreign": 0,
            "run_status": 5,
            "version_ms": round((time.monotonic() - began) * 1000),
        }


def code_lines(text: str) -> int:
    """Return the number of lines of a module that are not blank, comments or docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def code(wheel: Path) -> dict[str, str]:
    """Return the Python files of the host's wheel; none may belong to a tool or import one."""
    with zipfile.ZipFile(wheel) as archive:
        files = {
            name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")
        }
    outside = [name for name in files if not name.startswith("rolehost/")]
    assert not outside, f"the wheel holds {', '.join(outside)}"
    tools = re.compile(r"^\s*(from|import) rolehost_(fleet|testing)\b", re.MULTILINE)
    importing = [name for name, text in files.items() if tools.search(text)]
    assert not importing, f"{', '.join(importing)} import tools"
    return files


#: Prints the installed distributions, and those of its arguments that can be imported.
_INSTALLED = """
import importlib.metadata, importlib.util, json, sys
names = {name for name in sys.argv[1:] if importlib.util.find_spec(name)}
names |= {found.name for found in importlib.metadata.distributions()}
print(json.dumps(sorted(names)))
"""

#: Arguments, exit status, and words that the output must contain.
_COMMANDS = (
    (("run",), 5, ("No plugin is enabled", "rolehost[standard]")),
    (("check",), 0, ("no plugin is enabled",)),
    (("plugins",), 0, ("no plugin is installed",)),
    (("--help",), 0, ("Exit status",)),
)


def build(folder: Path) -> Path:
    """Build the host's wheel from a clean copy of the tree, without stale build folders."""
    source = folder / "source"
    source.mkdir()
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--")
    parts = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "host", "migrations")
    names = subprocess.run([*listed, *parts], cwd=ROOT, capture_output=True, check=True).stdout
    packed = subprocess.run(
        ["tar", "--null", "-T", "-", "-cf", "-"],
        cwd=ROOT,
        input=names,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(source, filter="data")
    command = [sys.executable, "-m", "build", "--quiet", "--wheel", "--no-isolation"]
    run(folder, *command, "--outdir", str(folder), str(source))
    return next(folder.glob("rolehost-*.whl"))


def install(wheel: Path, target: Path) -> Path:
    """Create an environment with the wheel and its mandatory requirements; return its Python."""
    venv.create(target, with_pip=False)
    python = target / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the package registry cannot be reached: {done.stderr.strip()[-300:]}")
    return python


def footprint(
    python: Path, folder: Path, arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> int:
    """Run a command, check status, words and imports; return the number of imported modules."""
    done = subprocess.run(
        [python, "-c", FOOTPRINT, *arguments],
        cwd=folder,
        env=_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"rolehost {arguments}: {said}"
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == status, f"rolehost {arguments}: status {seen['status']}: {said}"
    for text in words:
        assert text in said, f"rolehost {arguments} does not say {text!r}: {said}"
    imported = {name.partition(".")[0] for name in seen["modules"]}
    foreign = sorted(imported & set(FOREIGN))
    assert not foreign, f"rolehost {arguments} imports {', '.join(foreign)}"
    return len(seen["modules"])


def say(python: Path, folder: Path, *arguments: str) -> str:
    """Run the environment's Python and return its output."""
    return run(folder, str(python), *arguments)


def run(folder: Path, *command: str) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(
        command, cwd=folder, env=_environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLEHOST")}
    kept.pop("PYTHONPATH", None)
    return kept
