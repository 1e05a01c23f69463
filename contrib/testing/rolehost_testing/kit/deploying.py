"""Build a deployment from the plugins and settings of a test, without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import msgspec
from rolehost.deployment import (
    FAILURES,
    HOST_SECTIONS,
    Deployment,
    HostSettings,
    Origin,
    decode_section,
)
from rolehost.deployment.model import StorageSettings
from rolehost.errors import ConfigurationError, Problem

#: The origin of a setting in error messages.
ORIGIN = Origin("settings of the test")

#: Host settings that differ from the defaults of a deployment; a test can override them.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "deployment": {"environment": "test"},
    "http": {"threads": 2, "access_log": False},
}


def deployment(
    name: str, plugins: Sequence[str], settings: Mapping[str, Any], folder: Path
) -> Deployment:
    """Return a deployment of plugins with their settings.

    Args:
        name: name of the deployment.
        plugins: plugin names, as in a deployment file.
        settings: section → keys and values, or an object of the section's settings type;
            includes the sections of the host.
        folder: the base of relative paths.

    Raises:
        ConfigurationError: a section of the host is wrong. The composition checks the sections
            of plugins later.
    """
    merged = {
        section: {**DEFAULTS.get(section, {}), **written(settings.get(section, {}))}
        for section in dict.fromkeys((*DEFAULTS, *settings))
    }
    origins = {f"plugins.{each}": Origin("plugins of the test") for each in plugins}
    for section, values in merged.items():
        origins |= {f"{section}.{key}": ORIGIN for key in values}
    host, problems = _host_settings(merged, origins, f"deployment {name} (of a test)", folder)
    on_failure: Any = merged.pop("on_failure", {})
    for each in set(on_failure.values()).difference(FAILURES):
        raise ValueError(f"on_failure: {each!r} is neither {' nor '.join(FAILURES)}")
    if problems:
        raise ConfigurationError(problems)
    return Deployment(
        name=name,
        # The file does not exist; its folder is the base of relative paths.
        path=folder / f"{name}.toml",
        plugins=tuple(plugins),
        host=host,
        sections=merged,
        origins=origins,
        on_failure=on_failure,
    )


def _host_settings(
    merged: dict[str, Any], origins: Mapping[str, Origin], who: str, folder: Path
) -> tuple[HostSettings, list[Problem]]:
    """Take the host's sections out of ``merged`` and decode them."""
    problems: list[Problem] = []
    host: dict[str, Any] = {}
    for section, kind in HOST_SECTIONS.items():
        if section in merged:
            host[section], wrong = decode_section(
                kind,
                merged.pop(section),
                section=section,
                origins=origins,
                who=who,
                folder=folder,
            )
            problems += wrong
    return HostSettings(**host), problems


def in_memory(deployed: Deployment) -> Deployment:
    """Return the deployment with its storage replaced by the plugin ``memory``.

    All plugins of the file stay enabled, also those with other backends. The host rejects
    undeclared jobs and events, like every host of a test.
    """
    storage = StorageSettings(database="memory", cache="memory", queue="memory", stream="memory")
    about = msgspec.structs.replace(deployed.host.deployment, environment="test")
    host = msgspec.structs.replace(deployed.host, storage=storage, deployment=about)
    plugins = dict.fromkeys(("memory", *deployed.plugins))
    return replace(deployed, host=host, plugins=tuple(plugins))


def written(value: Any) -> Any:
    """Return a value as in a TOML file: settings objects as tables, paths as strings."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {name: written(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [written(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value
