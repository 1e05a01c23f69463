"""Tests that need a distribution that is not installed are left out, by their marker.

The tests of the host run once with nothing but the host (``tox -e py312-bare``). A test that needs
a plugin, or a library of one, says so: ``@pytest.mark.needs("rolehost_embedded")``.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import pytest

MARKER = "needs(module): leave the test out if the module is not installed"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@cache
def missing(module: str) -> bool:
    """Return whether a top-level module cannot be imported here."""
    return importlib.util.find_spec(module) is None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [
        item for item in items if any(missing(mark.args[0]) for mark in item.iter_markers("needs"))
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
