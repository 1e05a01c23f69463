"""Uses of what is deprecated in the plugin API: a warning each, or a mistake."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from rolehost.api.versions import ACCEPTED_APIS, DEPRECATIONS, PLUGIN_API, Deprecation
from rolehost.composition.declare import Contributions
from rolehost.composition.report import Report
from rolehost.composition.selection import Loaded
from rolehost.composition.sites import line_of
from rolehost.discovery import implementation
from rolehost.errors import Problem


def check(
    plugins: Sequence[Loaded],
    contributions: Contributions,
    report: Report,
    table: Sequence[Deprecation] = DEPRECATIONS,
) -> None:
    """Report each use once for each plugin: as a warning, or as a mistake once it is removed.

    Args:
        plugins: loaded plugins.
        contributions: what they gave.
        report: takes warnings and mistakes.
        table: what is deprecated.
    """
    for deprecation in table:
        for plugin in plugins:
            where = "; ".join(dict.fromkeys(_uses(deprecation, plugin, contributions)))
            if not where:
                continue
            if plugin.info.api >= deprecation.removed:
                report.extend([_removed(deprecation, plugin, where)])
            else:
                report.warnings.append(_deprecated(deprecation, plugin, where))


def _uses(deprecation: Deprecation, plugin: Loaded, contributions: Contributions) -> Iterator[str]:
    """Yield the sites at which a plugin uses a deprecated thing."""
    match deprecation.kind:
        case "hook":
            if implementation(plugin.module, deprecation.name) is not None:
                yield line_of(getattr(plugin.module, deprecation.name))
        case "argument":
            hook, _, argument = deprecation.name.rstrip(")").partition("(")
            function = getattr(plugin.module, hook, None)
            if function is not None and argument in inspect.signature(function).parameters:
                yield line_of(function)
        case "field":
            kind, _, field = deprecation.name.partition(".")
            if kind == type(plugin.info).__name__ and _set(plugin.info, field):
                yield f"{plugin.found.target}, rolehost_plugin"
            for owned in (each for items in contributions.by_class.values() for each in items):
                mine = owned.plugin == plugin.found.name
                if mine and type(owned.value).__name__ == kind and _set(owned.value, field):
                    yield owned.site


def _set(declaration: Any, name: str) -> bool:
    """Say whether a declaration sets a field to something else than its default."""
    field = next(each for each in dataclasses.fields(declaration) if each.name == name)
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return bool(getattr(declaration, name) != default)


def _deprecated(deprecation: Deprecation, plugin: Loaded, where: str) -> Problem:
    return Problem(
        code="deprecated",
        who=plugin.found.who,
        where=where,
        what=f"the {deprecation.kind} {deprecation.name} is deprecated",
        expected=f"not to be used: deprecated since plugin API {deprecation.since}, gone with "
        f"{deprecation.removed}",
        got=f"it is used by a plugin of plugin API {plugin.info.api}; this host speaks "
        f"{PLUGIN_API} and accepts {' and '.join(map(str, ACCEPTED_APIS))}",
        fix=f"{deprecation.instead}; or upgrade {plugin.found.distribution}",
    )


def _removed(deprecation: Deprecation, plugin: Loaded, where: str) -> Problem:
    return Problem(
        code="removed",
        who=plugin.found.who,
        where=where,
        what=f"the {deprecation.kind} {deprecation.name} is not in the plugin API that the "
        "plugin says",
        expected=f"not to be used: removed in plugin API {deprecation.removed}",
        got=f"it is used by a plugin of plugin API {plugin.info.api}",
        fix=f"{deprecation.instead}; or upgrade {plugin.found.distribution}",
    )
