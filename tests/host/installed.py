"""Plugins made of a few lines, installed for the time of a test."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rolehost.api import PLUGIN_API, Backend, PluginInfo, hookimpl

from tests.check.casefile import install

INTRODUCTION = """
from rolehost.api import PluginInfo, hookimpl


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, summary="made for a test")
"""


def write_plugin(site: Path, name: str, source: str = INTRODUCTION, version: str = "1.0") -> None:
    """Install a plugin ``name``: module ``name``, distribution ``name-plugin``."""
    install(site, f"{name}-plugin", version, f"{name} = {name}")
    (site / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")


def plugin(info: PluginInfo | None = None, **hooks: Any) -> SimpleNamespace:
    """A plugin object with hooks that return the arguments: ``actors=[…]`` for rolehost_actors."""

    def returning(value: Any) -> Any:
        def hook() -> Any:
            return value

        return hookimpl(hook)

    made = {f"rolehost_{name}": returning(value) for name, value in hooks.items()}
    made["rolehost_plugin"] = returning(info or PluginInfo(api=PLUGIN_API))
    return SimpleNamespace(**made)


def backends(name: str = "memory", **abilities: str) -> list[Backend]:
    """Backends of one name for every kind; ``cache="ttl,touch"`` names capabilities."""
    return [
        Backend(
            kind=kind,
            name=name,
            factory=object,
            capabilities=frozenset(abilities.get(kind, "").split(",")) - {""},
        )
        for kind in ("database", "cache", "queue", "stream")
    ]
