"""The sections of a deployment: decoded settings of plugins, and the origin of every value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from rolehost.api.settings import Secret, Settings
from rolehost.composition.declaring import LoadedPlugin
from rolehost.composition.model import Composition, Plugin
from rolehost.composition.problems import Problems
from rolehost.deployment import HOST_SECTIONS, Deployment, Origin, decode, fields_of, table_of
from rolehost.suggest import did_you_mean, one_of


def settings_of(plugin: LoadedPlugin, problems: Problems) -> tuple[Any, bool]:
    """Return a plugin's decoded settings, and whether they are valid.

    Invalid settings are an error of the operator, not of the plugin: a start without the plugin
    would hide them.
    """
    name = plugin.found.name
    who = plugin.found.who
    deployment = problems.deployment
    section = deployment.sections.get(name, {})
    kind = plugin.info.settings
    if kind is None:
        if section:
            where, keys = problems.at(name), one_of(section)
            problems.add("unknown-section.no-settings", where, who=who, name=name, keys=keys)
        return None, not section
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        where = f"{plugin.found.target}, rolehost_plugin"
        problems.add("hook-result.settings", where, who=who, got=repr(kind))
        return None, False
    settings, wrong = decode(
        kind,
        section,
        section=name,
        origins=deployment.origins,
        who=who,
        folder=Path(deployment.path).parent if deployment.path else Path(),
    )
    problems.found.extend(wrong)
    return settings, settings is not None and not wrong


def check_sections(problems: Problems, installed: set[str]) -> None:
    """Report sections and ``[on_failure]`` entries that belong to no installed plugin."""
    deployment = problems.deployment
    plugins = {*installed, *deployment.plugins, *deployment.listed}
    for name in deployment.sections:
        if name not in plugins and name not in HOST_SECTIONS:
            known = installed | set(HOST_SECTIONS)
            hint = did_you_mean(name, known)
            where = problems.at(name)
            problems.add("unknown-section", where, hint=hint, name=name, known=one_of(known))
    for name in deployment.on_failure:
        if name not in plugins:
            problems.add(
                "unknown-plugin.on-failure",
                problems.at(f"on_failure.{name}"),
                hint=did_you_mean(name, plugins),
                name=name,
                known=one_of(plugins),
            )


def with_origins(deployment: Deployment, plugins: Sequence[Plugin]) -> Deployment:
    """Return the deployment with an origin for every value, defaults and secrets marked."""
    origins = dict(deployment.origins)
    for section, settings in _sections(deployment, plugins):
        for field in fields_of(settings.__class__):
            key = f"{section}.{field.encode_name}"
            origin = origins.get(key, Origin("default"))
            if isinstance(getattr(settings, field.name), Secret):
                origin = Origin(origin.text, secret=True, resolved=origin.resolved)
            origins[key] = origin
    return dataclasses.replace(deployment, origins=MappingProxyType(origins))


class Effective(NamedTuple):
    """One setting, for example ``http.bind``, with its decoded value, which may hold secrets."""

    key: str
    value: Any
    origin: Origin


def effective(composition: Composition) -> Iterator[Effective]:
    """Yield every setting of the host and of enabled plugins, defaults included."""
    deployment = composition.deployment
    origins, default = deployment.origins, Origin("default")
    yield Effective("plugins", list(deployment.plugins), origins.get("plugins", default))
    for name, word in deployment.on_failure.items():
        key = f"on_failure.{name}"
        yield Effective(key, word, origins.get(key, default))
    for section, decoded in _sections(deployment, composition.plugins):
        # PERF: msgspec's own list of fields would look up every type anew.
        names = zip(decoded.__struct_encode_fields__, decoded.__struct_fields__, strict=True)
        for written, name in names:
            key = f"{section}.{written}"
            yield Effective(key, getattr(decoded, name), origins[key])


def _sections(deployment: Deployment, plugins: Sequence[Plugin]) -> Iterator[tuple[str, Any]]:
    for name, kind in HOST_SECTIONS.items():
        decoded = getattr(deployment.host, name)
        if table_of(kind) is None:
            yield name, decoded
        else:
            yield from ((f"{name}.{each}", decoded[each]) for each in sorted(decoded))
    for plugin in plugins:
        if plugin.settings is not None:
            yield plugin.name, plugin.settings
