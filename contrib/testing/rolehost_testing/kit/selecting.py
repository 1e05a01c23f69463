"""Resolve the plugins that a test names: installed names, modules, or objects."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from rolehost.discovery import InstalledPlugin, installed

#: Generic last parts of module names, which are not used as plugin names.
_USUAL = frozenset({"plugin", "plugins", "__init__"})


def present() -> tuple[InstalledPlugin, ...]:
    """Return the installed plugins, cached for each value of the import path."""
    return _present(tuple(sys.path))


@cache
def _present(_path: tuple[str, ...]) -> tuple[InstalledPlugin, ...]:
    return installed()


def selected(plugins: Iterable[Any] | Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the names of all plugins, and the plugin objects that are given in code.

    Args:
        plugins: a mapping of names to plugin objects; or names of installed plugins, modules,
            objects and pairs of name and object, in any combination. If an installed entry
            point names the module, it is that plugin; otherwise :func:`name_of` gives the name.

    Raises:
        ValueError: a name occurs twice.
    """
    names: list[str] = []
    extra: dict[str, Any] = {}
    targets: dict[str, str] | None = None
    for given in plugins.items() if isinstance(plugins, Mapping) else plugins:
        if isinstance(given, str):
            names.append(given)
            continue
        if isinstance(given, tuple):
            name, plugin = given
        else:
            if targets is None:
                targets = {found.target: found.name for found in present()}
            plugin = given
            known = targets.get(given.__name__) if isinstance(given, ModuleType) else None
            if known is not None:
                names.append(known)
                continue
            name = name_of(given)
        names.append(name)
        extra[name] = plugin
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"two plugins are named {', '.join(twice)}; give them names: plugins={{'name': object}}"
        )
    return tuple(names), extra


def name_of(plugin: Any) -> str:
    """Return a name for a plugin that is not installed, derived from its module or type.

    Example:
        The module ``rolehost_shop.plugin`` is ``shop``, ``tests.stock_keeping`` is
        ``stock-keeping``, an object of the class ``StockKeeping`` is ``stockkeeping``.
    """
    if not isinstance(plugin, ModuleType):
        named = plugin if isinstance(plugin, type) else type(plugin)
        return named.__name__.lower()
    parts = [part for part in plugin.__name__.split(".") if part not in _USUAL]
    last = parts[-1] if parts else plugin.__name__
    return last.removeprefix("rolehost_").replace("_", "-")
