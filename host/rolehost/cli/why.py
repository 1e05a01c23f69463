"""``rolehost why KIND:NAME``: who gives something; or why it is off, and what would turn it on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

from rolehost.api.metrics import Metric
from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.explain import KINDS, MADE_BY, NAMED, Facts, contributed, explain
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import document
from rolehost.cli.settings import values
from rolehost.composition import Composition, Probe, examine, probe
from rolehost.deployment import Deployment
from rolehost.discovery import Found, installed
from rolehost.suggest import did_you_mean


@click.command(epilog=f"KIND is one of {', '.join(KINDS)}.")
@click.argument("subject", metavar="KIND:NAME")
@takes_deployment()
@as_json
@click.pass_obj
def why(context: Context, subject: str, as_json: bool) -> int:
    """Say who gives a thing, what enables it, who sends and who takes it; exit status 1: it is off.

    For something that is off, the installed plugins that are not enabled are imported, to tell
    which of them would give it. Examples: route:/healthz, actor:deliver, plugin:ops,
    backend:embedded, setting:http.bind, topic:orders, role:worker. Across several deployments:
    rolehost fleet why.
    """
    kind, name = split(subject)
    deployment = context.deployment
    if kind == "plugin" and name in deployment.plugins:
        composition, _ = examine(deployment)
        if composition is None:
            return answer(subject, False, _broken(deployment, name), as_json)
    facts = explain(context.composition, kind, name)
    if facts is not None:
        return answer(subject, True, facts, as_json)
    file = str(deployment.path or "a deployment file")
    return answer(subject, False, explain_off([context.composition], kind, name, file), as_json)


def split(subject: str) -> tuple[str, str]:
    """Return kind and name of a subject, ``KIND:NAME``.

    Raises:
        click.BadParameter: it is not written so, or the kind is unknown.
    """
    kind, separator, name = subject.partition(":")
    if not separator or kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"KIND is one of {', '.join(KINDS)}"
        raise click.BadParameter(f"{subject!r} is not KIND:NAME; {hint}", param_hint="KIND:NAME")
    return kind, name


def answer(subject: str, on: bool, facts: Facts, as_json: bool) -> int:
    """Print the facts of a subject; return the exit status."""
    if as_json:
        listed = [{"label": label, "text": text} for label, text in facts]
        document({"subject": subject, "on": on, "facts": listed})
    else:
        click.echo(f"{subject} is {'on' if on else 'off'}")
        for label, text in facts:
            click.echo(f"  {label + ':':<19}{text}")
    return exits.OK if on else exits.FAILED


def _broken(deployment: Deployment, name: str) -> Facts:
    _, problems = examine(deployment)
    own = [
        problem
        for problem in problems
        if problem.who.startswith(f"plugin {name} ") or problem.got == name
    ]
    return [
        ("enabled at", deployment.origins[f"plugins.{name}"].text),
        *((problem.code, f"{problem.what}; {problem.fix}") for problem in own or problems),
    ]


def explain_off(compositions: Sequence[Composition], kind: str, name: str, file: str) -> Facts:
    """Return why a subject is off in deployments, and what would turn it on there."""
    enabled = {plugin for each in compositions for plugin in each.deployment.plugins}
    disabled = [found for found in installed() if found.name not in enabled]
    degraded = [fact for each in compositions for fact in _degraded(each, kind, name)]
    if degraded:
        return degraded
    if kind == "plugin":
        return _plugin_off(name, disabled, file)
    if kind == "backend":
        offered = list(
            dict.fromkeys(fact for each in compositions for fact in _offered(each, name))
        )
        if offered:
            return offered
    facts: Facts = []
    for found in disabled:
        seen = probe(compositions[0].deployment, found)
        if _would_give(seen, kind, name):
            facts += [
                ("would be given by", found.who),
                ("to turn it on", f'add "{found.name}" to plugins in {file}'),
            ]
    if facts:
        return facts
    known = {each for composition in compositions for each in _names(composition, kind)}
    hint = did_you_mean(name, sorted(known))
    because = ("because", f"no installed plugin gives it{'; ' + hint if hint else ''}")
    return [because, *_installable(name)]


def _degraded(composition: Composition, kind: str, name: str) -> Facts:
    """Say why a plugin was left out, or the plugin whose route this is."""
    facts: Facts = []
    for each in composition.degraded:
        gives = kind == "route" and any(owned.value.path == name for owned in each.routes)
        if gives or (kind == "plugin" and each.name == name):
            line = composition.deployment.origins.get(f"plugins.{each.name}")
            facts += [
                ("given by", f"plugin {each.name} ({each.distribution} {each.version})"),
                ("enabled at", line.text if line else "in code"),
                ("because", "the plugin is degraded: [on_failure] lets the rest go on without it"),
                *((problem.code, f"{problem.what}; {problem.fix}") for problem in each.why),
            ]
    return facts


def _installable(name: str) -> Facts:
    """Say how a plugin is had that is not installed, where the host's extras name it."""
    from importlib import metadata

    try:
        extras = metadata.metadata("rolehost").get_all("Provides-Extra") or []
        required = metadata.requires("rolehost") or []
    except metadata.PackageNotFoundError:
        return []
    for extra in extras:
        for text in required:
            distribution = text.partition(";")[0].strip()
            meant = re.search(rf"""extra\s*==\s*["']{re.escape(extra)}["']""", text)
            if meant and extra == name and distribution == f"rolehost-{name}":
                return [
                    ("offered by", f"{distribution}, which is not installed"),
                    ("to install it", f"pip install 'rolehost[{extra}]'"),
                ]
    return []


def _plugin_off(name: str, disabled: Iterable[Found], file: str) -> Facts:
    match = next((found for found in disabled if found.name == name), None)
    if match is None:
        hint = did_you_mean(name, (found.name for found in installed()))
        because = ("because", f"it is not installed{'; ' + hint if hint else ''}")
        return [because, *_installable(name)]
    return [
        ("installed", f"{match.distribution} {match.version}"),
        ("because", f"it is not in plugins of {file}"),
        ("to turn it on", f'add "{name}" to plugins in {file}'),
    ]


def _offered(composition: Composition, name: str) -> Facts:
    """Return why a backend that an enabled plugin offers is not used."""
    facts: Facts = []
    for found in installed():
        if found.name in composition.deployment.plugins:
            seen = probe(composition.deployment, found)
            for owned in seen.contributions.of(NAMED["backend"][0]):
                if owned.value.name == name:
                    kind = owned.value.kind
                    facts += [
                        ("offered by", f"{found.who} for {kind}"),
                        ("because", f"nothing needs it, or [storage] {kind} chooses another"),
                        ("to turn it on", f'set [storage] {kind} = "{name}"'),
                    ]
    return facts


def _would_give(seen: Probe, kind: str, name: str) -> bool:
    if kind in NAMED:
        cls, name_of = NAMED[kind]
        return any(name_of(owned.value) == name for owned in seen.contributions.of(cls))
    if kind == "metric":
        return any(name in owned.value.series for owned in seen.contributions.of(Metric))
    if kind == "extension" and seen.info is not None:
        return any(point.hook == name for point in seen.info.extension_points)
    if kind == "topic" and seen.info is not None:
        consumed = [owned.value.topic for owned in seen.contributions.of(NAMED["handler"][0])]
        return name in seen.info.publishes or name in consumed
    if kind == "role":
        return name in MADE_BY and bool(seen.contributions.of(NAMED[MADE_BY[name]][0]))
    return kind == "setting" and name.partition(".")[0] == seen.found.name


def _names(composition: Composition, kind: str) -> list[str]:
    if kind in NAMED:
        return [NAMED[kind][1](owned.value) for owned in contributed(composition, kind)]
    if kind == "metric":
        return list(composition.metrics)
    if kind == "extension":
        return list(composition.extensions)
    if kind == "topic":
        topics = {owned.value.topic for owned in composition.handlers}
        return sorted(composition.publishes | topics)
    if kind == "role":
        return list(composition.roles)
    return [str(row["key"]) for row in values(composition)]
