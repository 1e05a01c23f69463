"""A deployment without a file: plugins and settings as a test gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import msgspec
from rolehost.deployment import FAILURES, HOST_SECTIONS, Deployment, HostSettings, Origin, decode
from rolehost.deployment.model import StorageSettings
from rolehost.errors import ConfigurationError, Problem

#: What messages name as the place of a setting.
ORIGIN = Origin("settings of the test")

#: Settings of the host that differ from a deployment's defaults; a test may set others.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "deployment": {"environment": "test"},
    "http": {"threads": 2, "access_log": False},
}


def deployment(
    name: str, plugins: Sequence[str], settings: Mapping[str, Any], folder: Path
) -> Deployment:
    """Return a deployment of plugins with their settings.

    Args:
        name: its name.
        plugins: names, as they would stand in the file.
        settings: section → keys and values, or an object of its settings type; the host's own
            sections too.
        folder: where relative paths start.

    Raises:
        ConfigurationError: a section of the host is wrong; the plugins' are judged by composing.
    """
    merged = {
        section: {**DEFAULTS.get(section, {}), **written(settings.get(section, {}))}
        for section in dict.fromkeys((*DEFAULTS, *settings))
    }
    origins = {f"plugins.{each}": Origin("plugins of the test") for each in plugins}
    for section, values in merged.items():
        origins |= {f"{section}.{key}": ORIGIN for key in values}
    problems: list[Problem] = []
    host: dict[str, Any] = {}
    for section, kind in HOST_SECTIONS.items():
        if section not in merged:
            continue
        decoded, wrong = decode(
            kind,
            merged.pop(section),
            section=section,
            origins=origins,
            who=f"deployment {name} (of a test)",
            folder=folder,
        )
        problems += wrong
        host[section] = decoded
    on_failure: Any = merged.pop("on_failure", {})
    for each in set(on_failure.values()).difference(FAILURES):
        raise ValueError(f"on_failure: {each!r} is neither {' nor '.join(FAILURES)}")
    if problems:
        raise ConfigurationError(problems)
    return Deployment(
        name=name,
        # There is no such file; relative paths start beside it, and nothing else is there.
        path=folder / f"{name}.toml",
        plugins=tuple(plugins),
        host=HostSettings(**host),
        sections=merged,
        origins=origins,
        on_failure=on_failure,
    )


def in_memory(deployed: Deployment) -> Deployment:
    """Return a deployment whose storage is that of the plugin ``memory``, whatever its own says.

    The plugins that its file names stay enabled, those with other backends too. It refuses what
    is not declared, as every host of a test does.
    """
    storage = StorageSettings(database="memory", cache="memory", queue="memory", stream="memory")
    about = msgspec.structs.replace(deployed.host.deployment, environment="test")
    host = msgspec.structs.replace(deployed.host, storage=storage, deployment=about)
    plugins = dict.fromkeys(("memory", *deployed.plugins))
    return replace(deployed, host=host, plugins=tuple(plugins))


def written(value: Any) -> Any:
    """Return a value as a file would have it: no settings objects, no paths."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {name: written(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [written(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value
