"""Pretending that a library is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def absent(*modules: str, forget: tuple[str, ...] = ()) -> Iterator[None]:
    """Make imports of modules fail within the block, as if their distributions were absent.

    ``import`` raises :class:`ModuleNotFoundError`, and ``importlib.util.find_spec`` finds
    nothing. Modules that are imported already keep what they have; name them in ``forget`` to
    have them imported anew within the block.

    Args:
        modules: import names, such as ``orjson``; what is below them is absent with them.
        forget: import names that are imported anew in the block, with what is below them;
            afterwards they are again what they were.

    The idea is Spring Boot's ``FilteredClassLoader``.
    """
    kept = _taken(modules)
    kept |= _taken(forget)
    before = set(sys.modules)
    # What Python's import system itself understands as: not there.
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        for name in set(sys.modules) - before:
            if _below(name, forget):
                del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():
            parent, _, last = name.rpartition(".")
            if parent in sys.modules and module is not None:
                setattr(sys.modules[parent], last, module)


def _taken(names: tuple[str, ...]) -> dict[str, ModuleType]:
    """Take modules and what is below them out of ``sys.modules``."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _below(name, names)}


def _below(name: str, names: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in names)
