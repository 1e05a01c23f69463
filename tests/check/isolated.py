"""Runs ``rolehost`` as if no first-party plugin were installed, so that texts do not depend on it.

``python isolated.py check rolehost.toml``; what stands on ``PYTHONPATH`` is seen as ever.
"""

from __future__ import annotations

import sys

from rolehost.cli.main import invoke
from rolehost.discovery import entries

_all = entries._candidates


def _ours_hidden(group, path):
    for texts in _all(group, path):
        if group != entries.GROUP or not entries._identity(texts.headers)[0].startswith("rolehost"):
            yield texts


if __name__ == "__main__":
    entries._candidates = _ours_hidden
    sys.exit(invoke(sys.argv[1:]))
