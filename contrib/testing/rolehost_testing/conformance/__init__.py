"""Conformance suites: what every backend of a kind must do, whoever wrote it.

A backend's test module subclasses the class of its kind and says how a client is made::

    class TestMyDatabase(DatabaseConformance):
        @pytest.fixture
        def make_backend(self, tmp_path):
            return partial(MyDatabase, MySettings(path=tmp_path / "service.db"))

What ``make_backend`` returns is called without arguments, several times: every call makes an
independent client of the same storage, as another process would have it. It is pickled to
make clients in other processes, so it must be a module's function or a :func:`functools.partial`
of one. Leases of the backend should be short (about a second), for tests wait for them.

Declared capabilities decide what is tested; tests of others are skipped, and where a call
exists for an undeclared one, refusing it is tested.

A backend with a server has a second suite, for what happens when the server goes and comes back:
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
    """Import the one suite that is used: the others need libraries that may not be there."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind = name.removesuffix("Conformance").lower()
    module = "restart" if kind.endswith("restart") else kind
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
