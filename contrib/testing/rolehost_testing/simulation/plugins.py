"""Build deployments with backends in memory from plugins or deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rolehost.deployment.model import Deployment

from rolehost_testing.kit.deploying import deployment, in_memory
from rolehost_testing.memory import NAME


def deployments_of(
    plugins: Sequence[Any],
    settings: Mapping[str, Mapping[str, Any]],
    extra: Mapping[str, Any],
    memory: Any,
) -> tuple[list[Deployment], dict[str, Any]]:
    """Return the deployments to compose, and the plugin objects by name.

    Args:
        plugins: deployments, or the plugins of a single deployment.
        settings: sections by name; ignored for deployments.
        extra: plugin objects by name.
        memory: the plugin that offers the backends.
    """
    given = {**extra, NAME: memory}
    if all(isinstance(each, Deployment) for each in plugins):
        return [in_memory(each) for each in plugins], given
    names = []
    for each in plugins:
        if isinstance(each, str):
            names.append(each)
        else:
            names.append(_name(each, given))
            given[names[-1]] = each
    return [in_memory(deployment("simulation", names, settings, Path.cwd()))], given


def _name(plugin: Any, taken: Mapping[str, Any]) -> str:
    text = getattr(plugin, "__name__", type(plugin).__name__)
    name: str = text.rpartition(".")[2].replace("_", "-").lower().strip("-")
    while name in taken:
        name += "-2"
    return name
