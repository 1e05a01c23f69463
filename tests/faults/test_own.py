"""Which of our own plugins are degradable."""

from __future__ import annotations

import configparser
import importlib
import importlib.util

import pytest

from tests.proofs.kit import ROOT


def degradable():
    """Yield the modules of plugins that their distribution declares degradable."""
    for path in sorted(ROOT.glob("*/*/setup.cfg")):
        parser = configparser.ConfigParser()
        parser.read(path)
        points = parser.get("options.entry_points", "rolehost.degradable", fallback="")
        yield from (line.partition("=")[2].strip() for line in points.splitlines() if line)


@pytest.mark.parametrize("module", list(degradable()))
def test_a_degradable_plugin_has_no_middleware(module):
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    assert not hasattr(importlib.import_module(module), "rolehost_middleware")
