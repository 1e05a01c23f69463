"""Runs ``rolehost`` as if no first-party plugin were installed, so that texts do not depend on it.

``python isolated.py check rolehost.toml``; plugins on ``PYTHONPATH`` are still found.
"""

from __future__ import annotations

import sys

from rolehost.cli.main import invoke
from rolehost.discovery import entries

_all = entries._distributions


def _ours_hidden(group, path):
    for each in _all(group, path):
        name = entries._NAME.search(each.headers)[1].strip()
        if group != entries.GROUP or not name.startswith("rolehost"):
            yield each


if __name__ == "__main__":
    entries._distributions = _ours_hidden
    sys.exit(invoke(sys.argv[1:]))
