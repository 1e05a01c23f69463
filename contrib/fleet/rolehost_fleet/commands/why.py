"""``rolehost why KIND:NAME``: which plugin has a subject, or why it is off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rolehost.api.contributions import PluginInfo
from rolehost.api.handlers import Handler
from rolehost.api.metrics import Metric
from rolehost.cli import exits
from rolehost.cli.context import Context, Examined, as_json, takes_deployment
from rolehost.cli.listings import values
from rolehost.cli.output import print_json
from rolehost.composition import Composition, Owned, probe
from rolehost.discovery import InstalledPlugin, installed
from rolehost.suggest import did_you_mean

from rolehost_fleet.commands.explain import CONTRIBUTIONS, KINDS, MADE_BY, Facts, explain
from rolehost_fleet.commands.explain_fleet import explain_fleet
from rolehost_fleet.commands.sources import expanded, fleet_of


@click.command(epilog=f"KIND is one of {', '.join(KINDS)}.")
@click.argument("subject", metavar="KIND:NAME")
@click.argument("deployments", nargs=-1, type=click.Path(path_type=Path), metavar="[DEPLOYMENT]...")
@takes_deployment(argument=False)
@as_json
@click.pass_obj
def why(context: Context, subject: str, deployments: tuple[Path, ...], as_json: bool) -> int:
    """Explain where a route, actor, setting or other subject comes from, or why it is off.

    DEPLOYMENTs are files, folders or quoted patterns; several are explained together. If the
    subject is off, the exit status is 1, and installed plugins that are not enabled are imported
    to find one that has it. Examples: route:/healthz, actor:deliver, plugin:ops,
    backend:embedded, setting:http.bind, topic:orders, role:worker.
    """
    kind, name = split(subject)
    paths = expanded(deployments)
    if len(paths) > 1:
        if context.plugins is not None:
            raise click.UsageError("--plugins is for one deployment, not for several")
        on, facts = _across(paths, kind, name)
    else:
        one = Context(paths[0], context.plugins) if paths else context
        on, facts = _within(one, kind, name)
    return answer(subject, on, facts, as_json)


def _within(context: Context, kind: str, name: str) -> tuple[bool, Facts]:
    """Return whether a subject is on in one deployment, and the facts about it."""
    examined = context.examined
    deployment = examined.deployment
    faulty = examined.composition is None and not examined.file_errors
    if faulty and kind == "plugin" and name in deployment.plugins:
        return False, _faulty(examined, name)
    composition = context.composition
    facts = explain(composition, kind, name)
    if facts is not None:
        return True, facts
    file = str(deployment.path or "a deployment file")
    return False, explain_off([composition], kind, name, file)


def _across(paths: Sequence[Path], kind: str, name: str) -> tuple[bool, Facts]:
    """Return whether a subject is on in any of several deployments, and the facts about it."""
    fleet = fleet_of(paths)
    facts = explain_fleet(fleet, kind, name)
    if facts is not None:
        return True, facts
    compositions = [member.composition for member in fleet.members]
    files = " or ".join(str(member.path) for member in fleet.members)
    return False, explain_off(compositions, kind, name, files)


def split(subject: str) -> tuple[str, str]:
    """Return kind and name of a subject, ``KIND:NAME``.

    Raises:
        click.BadParameter: the subject has no colon, or the kind is unknown.
    """
    kind, separator, name = subject.partition(":")
    if not separator or kind not in KINDS:
        near = "" if kind in KINDS else did_you_mean(kind, KINDS)
        hint = near or f"KIND is one of {', '.join(KINDS)}"
        raise click.BadParameter(f"{subject!r} is not KIND:NAME; {hint}", param_hint="KIND:NAME")
    return kind, name


def answer(subject: str, on: bool, facts: Facts, as_json: bool) -> int:
    """Print the facts of a subject; return the exit status."""
    if as_json:
        listed = [{"label": label, "text": text} for label, text in facts]
        print_json({"subject": subject, "on": on, "facts": listed})
    else:
        click.echo(f"{subject} is {'on' if on else 'off'}")
        for label, text in facts:
            click.echo(f"  {label + ':':<19}{text}")
    return exits.OK if on else exits.FAILED


def explain_off(compositions: Sequence[Composition], kind: str, name: str, file: str) -> Facts:
    """Return why a subject is off in all of the deployments, and how to turn it on.

    Args:
        file: the names of the deployment files, for the messages.
    """
    enabled = {plugin for each in compositions for plugin in each.deployment.plugins}
    disabled = [found for found in installed() if found.name not in enabled]
    degraded = [fact for each in compositions for fact in _degraded(each, kind, name)]
    if degraded:
        return degraded
    if kind == "plugin":
        return _not_enabled(name, disabled, file)
    if kind == "backend":
        unused = [fact for each in compositions for fact in _unused_backend(each, name)]
        if unused:
            return list(dict.fromkeys(unused))
    facts: Facts = []
    for found in disabled:
        seen = probe(compositions[0].deployment, found)
        settings = kind == "setting" and name.partition(".")[0] == found.name
        infos = [seen.info] if seen.info else []
        if settings or name in _names(kind, seen.contributions.of, infos):
            facts += [
                ("would come from", found.who),
                ("to turn it on", f'add "{found.name}" to plugins in {file}'),
            ]
    if facts:
        return facts
    hint = did_you_mean(name, sorted(_known(compositions, kind)))
    return [_because("no installed plugin has it", hint), *_installable(name)]


def _because(text: str, hint: str) -> tuple[str, str]:
    return "because", f"{text}; {hint}" if hint else text


def _faulty(examined: Examined, name: str) -> Facts:
    """Return why an enabled plugin is off in a deployment that does not compose."""
    own = [
        problem
        for problem in examined.plugin_errors
        if problem.who.startswith(f"plugin {name} ") or problem.got == name
    ]
    return [
        ("enabled at", examined.deployment.origins[f"plugins.{name}"].text),
        *((each.code, f"{each.what}; {each.fix}") for each in own or examined.plugin_errors),
    ]


def _degraded(composition: Composition, kind: str, name: str) -> Facts:
    """Return why a degraded plugin is off, or the degraded plugin that has this route."""
    facts: Facts = []
    for each in composition.degraded:
        has_route = kind == "route" and any(owned.value.path == name for owned in each.routes)
        if has_route or (kind == "plugin" and each.name == name):
            line = composition.deployment.origins.get(f"plugins.{each.name}")
            facts += [
                ("contributed by", f"plugin {each.name} ({each.distribution} {each.version})"),
                ("enabled at", line.text if line else "in code"),
                ("because", "the plugin is degraded: the others run without it ([on_failure])"),
                *((problem.code, f"{problem.what}; {problem.fix}") for problem in each.why),
            ]
    return facts


def _not_enabled(name: str, disabled: Sequence[InstalledPlugin], file: str) -> Facts:
    match = next((found for found in disabled if found.name == name), None)
    if match is None:
        hint = did_you_mean(name, (found.name for found in installed()))
        return [_because("it is not installed", hint), *_installable(name)]
    return [
        ("installed", f"{match.distribution} {match.version}"),
        ("because", f"it is not in plugins of {file}"),
        ("to turn it on", f'add "{name}" to plugins in {file}'),
    ]


def _installable(name: str) -> Facts:
    """Return how to install a plugin that is an extra of the host."""
    from importlib import metadata

    try:
        extras = metadata.metadata("rolehost").get_all("Provides-Extra") or []
        required = metadata.requires("rolehost") or []
    except metadata.PackageNotFoundError:
        return []
    distribution = f"rolehost-{name}"
    offered = {text.partition(";")[0].strip() for text in required}
    if name not in extras or distribution not in offered:
        return []
    return [
        ("offered by", f"{distribution}, which is not installed"),
        ("to install it", f"pip install 'rolehost[{name}]'"),
    ]


def _unused_backend(composition: Composition, name: str) -> Facts:
    """Return why a backend that an enabled plugin offers is not used."""
    facts: Facts = []
    for found in installed():
        if found.name not in composition.deployment.plugins:
            continue
        contributions = probe(composition.deployment, found).contributions
        for owned in contributions.of(CONTRIBUTIONS["backend"].type):
            if owned.value.name == name:
                kind = owned.value.kind
                facts += [
                    ("offered by", f"{found.who} for {kind}"),
                    ("because", f"nothing needs it, or [storage] {kind} chooses another"),
                    ("to turn it on", f'set [storage] {kind} = "{name}"'),
                ]
    return facts


def _known(compositions: Sequence[Composition], kind: str) -> set[str]:
    """Return the names of a kind that are on in some deployment."""
    if kind == "setting":
        return {row["key"] for each in compositions for row in values(each)}
    names: set[str] = set()
    for each in compositions:
        by_type: dict[type[Any], Iterable[Owned[Any]]] = {Metric: each.metrics.values()}
        by_type |= {entry.type: entry.of(each) for entry in CONTRIBUTIONS.values()}
        names |= _names(kind, by_type.__getitem__, [plugin.info for plugin in each.plugins])
    return names


def _names(
    kind: str,
    contributed: Callable[[type[Any]], Iterable[Owned[Any]]],
    infos: Iterable[PluginInfo],
) -> set[str]:
    """Return the names of a kind, except settings, that plugins have.

    Args:
        contributed: returns the plugins' contributions of a class.
        infos: the PluginInfo of each plugin.
    """
    if kind in CONTRIBUTIONS:
        entry = CONTRIBUTIONS[kind]
        return {entry.name(owned.value) for owned in contributed(entry.type)}
    if kind == "metric":
        return {name for owned in contributed(Metric) for name in owned.value.series}
    if kind == "extension":
        return {point.hook for info in infos for point in info.extension_points}
    if kind == "topic":
        consumed = {owned.value.topic for owned in contributed(Handler)}
        return consumed.union(*(info.publishes for info in infos))
    if kind == "role":
        return {role for role, by in MADE_BY.items() if contributed(CONTRIBUTIONS[by].type)}
    return set()
