"""Which tests run where only a part of the distributions is installed.

The tox matrix runs the host's tests with nothing but the host, and the embedded backends' with
nothing but these two. ``--partial`` leaves out, and lists, the test modules that import
something that is not there; without it a missing import is an error as always.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

import pytest

LEFT_OUT = pytest.StashKey[list[tuple[Path, str]]]()

#: Entry points are found by name, so that a test may need a distribution that it never imports.
MARKER = "needs(module): leave the test out under --partial when the module is not installed"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--partial", action="store_true", help="leave out tests of missing parts")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[LEFT_OUT] = []


@cache
def missing(module: str) -> bool:
    """Return whether a top-level module cannot be imported here."""
    return importlib.util.find_spec(module) is None


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports at its own top level."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("partial") or collection_path.suffix != ".py":
        return None
    absent = sorted(filter(missing, imported(collection_path)))
    if not absent:
        return None
    config.stash[LEFT_OUT].append((collection_path, ", ".join(absent)))
    return True


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
    for path, absent in config.stash[LEFT_OUT]:
        terminalreporter.line(f"left out: {path.relative_to(config.rootpath)} needs {absent}")
