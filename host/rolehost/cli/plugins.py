"""``rolehost plugins``: enabled, disabled, broken, and why; and how well they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.explain import extends
from rolehost.cli.lazy import imported
from rolehost.cli.options import as_json, takes_deployment
from rolehost.cli.output import listing
from rolehost.cli.output import problems as tell
from rolehost.composition import Composition, examine, probe
from rolehost.deployment import Deployment, read
from rolehost.discovery import Found, installed
from rolehost.discovery.commands import tools
from rolehost.errors import ConfigurationError, Problem


class Plugins(click.Group):
    """Lists when no other command is named, so that ``rolehost plugins FILE`` lists, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command ``list`` before what is no command."""
        if not args or (args[0] not in self.list_commands(ctx) and args[0] not in _HELP):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, with those of installed tools."""
        return sorted({*super().list_commands(ctx), *_of_tools()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; one of a tool is imported."""
        own = super().get_command(ctx, cmd_name)
        if own is None and cmd_name in (found := _of_tools()):
            return imported(found[cmd_name])
        return own


def _of_tools() -> dict[str, str]:
    """Return name → target of what installed tools add to this group, for example ``grade``."""
    words = ((name.split(), target) for name, (target, _) in tools().items())
    return {name[1]: target for name, target in words if name[0] == "plugins" and len(name) == 2}


_HELP = ("-h", "--help")


@click.group(cls=Plugins)
def plugins() -> None:
    """List installed plugins. Without a command: list."""


@plugins.command("list")
@takes_deployment()
@click.option("--probe", "probing", is_flag=True, help="Import disabled plugins too.")
@click.option("--pin", "pinning", is_flag=True, help="Write down what the enabled plugins are.")
@as_json
@click.pass_obj
def list_plugins(context: Context, probing: bool, pinning: bool, as_json: bool) -> int:
    """List all installed plugins by name.

    Plugins that are not enabled are not imported, so one that is broken is listed as disabled;
    --probe imports it and says what is wrong. What cannot be read in the deployment itself is told
    after the list; exit status 3 then.

    --pin lists nothing: it writes distribution, version and hash of each enabled plugin into a
    file beside the deployment. One that names this file, pins = "…" in [deployment], refuses
    what differs from it.
    """
    deployment, mistakes = read(context.path, plugins=context.plugins)
    if pinning:
        from rolehost.cli.pin import write

        if mistakes:
            raise ConfigurationError(mistakes)
        return write(deployment)
    composition, problems = examine(deployment)
    found = installed()
    rows = [_row(plugin, deployment, [*mistakes, *problems], probing=probing) for plugin in found]
    known = {plugin.name for plugin in found}
    rows += [
        _missing(name, deployment, problems) for name in deployment.plugins if name not in known
    ]
    summaries = (
        {plugin.name: plugin.info.summary for plugin in composition.plugins} if composition else {}
    )
    for row in rows:
        failed = composition and composition.left_out(row["name"])
        if failed:
            row["state"], row["why"] = "degraded", failed.reason
    for row in rows:
        row["summary"] = row["summary"] or summaries.get(row["name"], "")
    for row in rows:
        row["extensions"] = _extensions(composition, row["name"]) if composition else []
    rows.sort(key=lambda row: (row["name"], row["distribution"] or ""))
    listing(rows, as_json=as_json, empty="no plugin is installed: pip install 'rolehost[standard]'")
    if mistakes:
        tell(mistakes)
        return exits.CONFIGURATION
    return exits.OK


def _extensions(composition: Composition, name: str) -> list[str]:
    """Return which extension points an enabled plugin offers, and which it gives something to."""
    offered = [
        f"offers {point.hook}"
        for plugin in composition.plugins
        if plugin.name == name
        for point in plugin.info.extension_points
    ]
    return offered + [f"extends {item}" for item in extends(composition, name)]


def _row(
    plugin: Found, deployment: Deployment, problems: Sequence[Problem], *, probing: bool
) -> dict[str, Any]:
    state, why, summary = "disabled", _not_listed(deployment), ""
    if plugin.name in deployment.plugins:
        own = [problem for problem in problems if _concerns(problem, plugin)]
        state = "broken" if own else "enabled"
        why = "; ".join(_line(problem) for problem in own) or enabled_at(deployment, plugin.name)
    elif probing:
        seen = probe(deployment, plugin)
        summary = seen.info.summary if seen.info else ""
        if seen.problems:
            state = "broken"
            why = "; ".join(_line(problem) for problem in seen.problems)
    return {
        "name": plugin.name,
        "state": state,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "why": why,
        "summary": summary,
    }


def _missing(name: str, deployment: Deployment, problems: Sequence[Problem]) -> dict[str, Any]:
    hint = next((problem.fix for problem in problems if problem.got == name), "install it")
    return {
        "name": name,
        "state": "missing",
        "distribution": None,
        "version": None,
        "why": f"{enabled_at(deployment, name)}: not installed; {hint}",
        "summary": "",
    }


def enabled_at(deployment: Deployment, name: str) -> str:
    """Return the line that enables a plugin, or what overrode it."""
    origin = deployment.origins.get(f"plugins.{name}")
    return f"enabled at {origin.text}" if origin else "enabled"


def _not_listed(deployment: Deployment) -> str:
    return f"not in plugins of {deployment.path or '(no deployment file)'}"


def _concerns(problem: Problem, plugin: Found) -> bool:
    return plugin.who in problem.who or problem.who == f"plugin {plugin.name}"


def _line(problem: Problem) -> str:
    return f"{problem.code}: {problem.what} ({problem.where}): {problem.got}"
