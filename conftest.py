"""Which tests run where only a part of the distributions is installed.

The tox matrix runs the host's tests with nothing but the host, and the embedded backends' with
nothing but these two. ``--partial`` leaves out, and lists, the test modules that import
something that is not there; without it a missing import is an error as always.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

LEFT_OUT = pytest.StashKey[list[tuple[Path, str]]]()

#: Entry points are found by name, so that a test may need a distribution that it never imports.
MARKER = "needs(module): leave the test out under --partial when the module is not installed"

#: Our own packages: what they import in their turn is looked at too.
FOLLOWED = ("contrib", "rolehost", "rolehost_fleet", "rolehost_testing", "scripts", "tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--partial", action="store_true", help="leave out tests of missing parts")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[LEFT_OUT] = []


@cache
def missing(module: str) -> bool:
    """Return whether a top-level module cannot be imported here."""
    return importlib.util.find_spec(module) is None


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports at its own top level, with their dots."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(module: str) -> Iterator[Path]:
    """Yield the files of one of our modules and of the packages around it."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    for folder in spec.submodule_search_locations or () if spec else ():
        for depth in range(len(rest) + 1):
            place = Path(folder).joinpath(*rest[:depth])
            yield from filter(Path.is_file, (place / "__init__.py", place.with_suffix(".py")))


def absent(path: Path) -> set[str]:
    """Return the missing modules that importing a file comes upon, at any depth."""
    found: set[str] = set()
    seen = {path}
    todo = [path]
    while todo:
        source = todo.pop()
        for module in imported(source):
            top = module.partition(".")[0]
            beside = source.parent / f"{top}.py"
            further = [beside] if beside.is_file() else []
            if top in FOLLOWED:
                further = list(sources(module))
            elif not further and missing(top):
                found.add(top)
            todo += [each for each in further if each not in seen]
            seen.update(further)
    return found


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("partial"):
        return None
    source = collection_path
    if source.is_dir():
        source /= "conftest.py"
    elif not source.match("test_*.py"):
        return None
    if not source.is_file():
        return None
    lacking = absent(source)
    if lacking:
        config.stash[LEFT_OUT].append((collection_path, ", ".join(sorted(lacking))))
    return True if lacking else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("partial"):
        return
    out = [
        item for item in items if any(missing(mark.args[0]) for mark in item.iter_markers("needs"))
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    for path, lacking in config.stash[LEFT_OUT]:
        terminalreporter.line(f"left out: {path.relative_to(config.rootpath)} needs {lacking}")
