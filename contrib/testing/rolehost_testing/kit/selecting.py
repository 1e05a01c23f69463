"""Which plugins a test means: names of installed ones, modules, and objects made for the test."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from rolehost.discovery import Found, installed

#: Last parts of a module's name that say nothing about the plugin.
_USUAL = frozenset({"plugin", "plugins", "__init__"})


def present() -> tuple[Found, ...]:
    """Return the installed plugins, looked for once for each import path of a test run."""
    return _present(tuple(sys.path))


@cache
def _present(_path: tuple[str, ...]) -> tuple[Found, ...]:
    return installed()


def selected(plugins: Iterable[Any] | Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the names of all plugins, and the objects of those that are given in code.

    Args:
        plugins: a mapping of names to plugin objects; or names of installed plugins, modules,
            objects and pairs of name and object, in any mixture. A module that an installed
            entry point names is that plugin; any other has the name of :func:`name_of`.

    Raises:
        ValueError: one name comes twice.
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
    """Return the name of a plugin that is not installed, from that of its module or type.

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
