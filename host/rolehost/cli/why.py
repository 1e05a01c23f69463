"""``rolehost why KIND:NAME``: who gives something; or why it is off, and what would turn it on."""

from __future__ import annotations

from collections.abc import Iterable

import click

from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.explain import KINDS, MADE_BY, NAMED, Facts, contributed, explain
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import document
from rolehost.cli.settings import values
from rolehost.composition import Composition, Probe, examine, probe
from rolehost.deployment import Deployment
from rolehost.discovery import Found, did_you_mean, installed


@click.command(epilog=f"KIND is one of {', '.join(KINDS)}.")
@click.argument("subject", metavar="KIND:NAME")
@takes_deployment(argument=False)
@as_json
@click.pass_obj
def why(context: Context, subject: str, as_json: bool) -> int:
    """Say who gives a thing and what enables it; exit status 1 when it is off.

    For something that is off, the installed plugins that are not enabled are imported, to tell
    which of them would give it. Examples: route:/healthz, actor:deliver, plugin:ops,
    backend:embedded, setting:http.bind, topic:orders, role:worker.
    """
    kind, separator, name = subject.partition(":")
    if not separator or kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"KIND is one of {', '.join(KINDS)}"
        raise click.BadParameter(f"{subject!r} is not KIND:NAME; {hint}", param_hint="KIND:NAME")
    deployment = context.deployment
    if kind == "plugin" and name in deployment.plugins:
        composition, _ = examine(deployment)
        if composition is None:
            return _say(subject, False, _broken(deployment, name), as_json)
    facts = explain(context.composition, kind, name)
    if facts is not None:
        return _say(subject, True, facts, as_json)
    return _say(subject, False, _off(context.composition, kind, name), as_json)


def _say(subject: str, on: bool, facts: Facts, as_json: bool) -> int:
    if as_json:
        listed = [{"label": label, "text": text} for label, text in facts]
        document({"subject": subject, "on": on, "facts": listed})
    else:
        click.echo(f"{subject} is {'on' if on else 'off'}")
        for label, text in facts:
            click.echo(f"  {label + ':':<17}{text}")
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


def _off(composition: Composition, kind: str, name: str) -> Facts:
    deployment = composition.deployment
    disabled = [found for found in installed() if found.name not in deployment.plugins]
    file = str(deployment.path or "a deployment file")
    if kind == "plugin":
        return _plugin_off(name, disabled, file)
    if kind == "backend":
        offered = _offered(composition, name)
        if offered:
            return offered
    facts: Facts = []
    for found in disabled:
        seen = probe(deployment, found)
        if _would_give(seen, kind, name):
            facts += [
                ("would be given by", found.who),
                ("to turn it on", f'add "{found.name}" to plugins in {file}'),
            ]
    if facts:
        return facts
    hint = did_you_mean(name, _names(composition, kind))
    return [("because", f"no installed plugin gives it{'; ' + hint if hint else ''}")]


def _plugin_off(name: str, disabled: Iterable[Found], file: str) -> Facts:
    match = next((found for found in disabled if found.name == name), None)
    if match is None:
        hint = did_you_mean(name, (found.name for found in installed()))
        return [("because", f"it is not installed{'; ' + hint if hint else ''}")]
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
    if kind == "extension":
        return list(composition.extensions)
    if kind == "topic":
        topics = {owned.value.topic for owned in composition.handlers}
        return sorted(composition.publishes | topics)
    if kind == "role":
        return list(composition.roles)
    return [str(row["key"]) for row in values(composition)]
