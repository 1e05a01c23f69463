"""Simulate that a library is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def absent(*modules: str, forget: tuple[str, ...] = ()) -> Iterator[None]:
    """Make imports of modules fail within the block, as if they were not installed.

    ``import`` raises :class:`ModuleNotFoundError`, and ``importlib.util.find_spec`` returns
    None. Modules that were imported before keep their references. List such modules in
    ``forget`` to import them again within the block.

    Args:
        modules: import names, for example ``orjson``; includes their submodules.
        forget: import names of modules to import again in the block, with their submodules.
            The original modules are restored after the block.

    The idea comes from Spring Boot's ``FilteredClassLoader``.
    """
    kept = _taken(modules)
    kept |= _taken(forget)
    before = set(sys.modules)
    # Python's import system treats None in sys.modules as "not installed".
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
    """Remove modules and their submodules from ``sys.modules``; return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _below(name, names)}


def _below(name: str, names: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in names)
