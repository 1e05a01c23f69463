"""Conformance suites: tests that every backend of a storage kind must pass.

A backend's test module subclasses the suite of its kind and provides a function for clients::

    class TestMyDatabase(DatabaseConformance):
        @pytest.fixture
        def make_backend(self, tmp_path):
            return partial(MyDatabase, MySettings(path=tmp_path / "service.db"))

The suite calls the function that ``make_backend`` returns several times, without arguments.
Every call makes an independent client of the same storage, as in another process. The function
is pickled to make clients in other processes, so it must be a module-level function or a
:func:`functools.partial` of one. Leases of the backend should be short (about a second), because
tests wait until they expire.

Tests of capabilities that the backend does not declare are skipped. If a call needs an
undeclared capability, a test checks that the backend rejects the call.

A second suite tests backends with a server, and restarts that server:
:mod:`rolehost_testing.conformance.restart`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rolehost_testing.conformance.cache import CacheConformance
    from rolehost_testing.conformance.database import DatabaseConformance
    from rolehost_testing.conformance.queue import QueueConformance
    from rolehost_testing.conformance.restart import (
        CacheRestartConformance,
        DatabaseRestartConformance,
        QueueRestartConformance,
        StreamRestartConformance,
    )
    from rolehost_testing.conformance.stream import StreamConformance

__all__ = [
    "CacheConformance",
    "CacheRestartConformance",
    "DatabaseConformance",
    "DatabaseRestartConformance",
    "QueueConformance",
    "QueueRestartConformance",
    "StreamConformance",
    "StreamRestartConformance",
]


def __getattr__(name: str) -> Any:
    """Import only the requested suite, because others need libraries that may be missing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind = name.removesuffix("Conformance").lower()
    module = "restart" if kind.endswith("restart") else kind
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
