"""Runs ``rolehost`` as if no first-party plugin were installed, so that texts do not depend on it.

``python isolated.py check rolehost.toml``; what stands on ``PYTHONPATH`` is seen as ever.
"""

from __future__ import annotations

import importlib.metadata
import sys

from rolehost.cli.main import invoke

_all = importlib.metadata.distributions


def _ours_hidden(**search):
    for distribution in _all(**search):
        if not (distribution.name or "").startswith("rolehost"):
            yield distribution


if __name__ == "__main__":
    importlib.metadata.distributions = _ours_hidden
    sys.exit(invoke(sys.argv[1:]))
