"""The plugins' sections of a deployment, decoded; and sections that belong to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rolehost.api.settings import Settings
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded
from rolehost.deployment import HOST_SECTIONS, decode
from rolehost.suggest import did_you_mean, one_of


def settings_of(plugin: Loaded, report: Report) -> tuple[Any, bool]:
    """Return a plugin's decoded settings, and whether they fit."""
    name = plugin.found.name
    deployment = report.deployment
    section = deployment.sections.get(name, {})
    kind = plugin.info.settings
    if kind is None:
        if section:
            report.add(
                "unknown-section",
                report.at(name),
                f"the plugin {name} has no settings",
                who=plugin.found.who,
                expected=f"no section [{name}]",
                got=f"the keys {one_of(section)}",
                fix="take the section out",
            )
        return None, not section
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        report.add(
            "hook-result",
            f"{plugin.found.target}, rolehost_plugin",
            "PluginInfo.settings is no settings type",
            who=plugin.found.who,
            expected="a subclass of rolehost.api.Settings, or None",
            got=repr(kind),
            fix="derive the class from Settings",
        )
        return None, False
    mistakes = len(report.problems)
    settings, problems = decode(
        kind,
        section,
        section=name,
        origins=deployment.origins,
        who=plugin.found.who,
        folder=Path(deployment.path).parent if deployment.path else Path(),
    )
    report.extend(problems)
    return settings, settings is not None and len(report.problems) == mistakes


def check_sections(report: Report, known: set[str]) -> None:
    """Report sections that belong to nobody; those of installed plugins may stay."""
    candidates = known | set(HOST_SECTIONS)
    theirs = {*candidates, *report.deployment.plugins, *report.deployment.listed}
    for name in report.deployment.sections:
        if name not in theirs:
            report.add(
                "unknown-section",
                report.at(name),
                f"[{name}] is neither a section of the host nor of an installed plugin",
                expected=f"one of {one_of(candidates)}",
                got=f"[{name}]",
                fix=did_you_mean(name, candidates) or "install the plugin, or take it out",
            )
