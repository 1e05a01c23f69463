"""Stands in for ``tests/common.py`` of Dramatiq, which its source distribution does not have."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

skip_in_ci = pytest.mark.skipif(False, reason="runs everywhere")
skip_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows")
skip_on_pypy = pytest.mark.skipif(platform.python_implementation() == "PyPy", reason="not on PyPy")
RABBITMQ_CREDENTIALS: Any = None


@contextmanager
def worker(broker: Any, **options: Any) -> Iterator[Any]:
    """Run jobs during the block."""
    del options
    yield broker.run_worker()
