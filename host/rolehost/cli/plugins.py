"""``rolehost plugins``: the installed plugins, and why each is enabled, disabled or broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from rolehost.api.contributions import PluginInfo
from rolehost.cli import exits, pin
from rolehost.cli.context import Context, Examined, as_json, takes_deployment
from rolehost.cli.lazy import LazyGroup, Targets
from rolehost.cli.listings import extends
from rolehost.cli.output import print_problems, print_rows
from rolehost.composition import Composition, probe
from rolehost.deployment import Deployment
from rolehost.discovery import InstalledPlugin, installed
from rolehost.discovery.commands import TOOL_EXTRAS, install_hint, tool_commands
from rolehost.errors import Problem


class _Plugins(LazyGroup):
    """A group with the default command ``list``: ``rolehost plugins FILE`` lists."""

    def targets(self) -> Targets:
        """Return ``list`` and the subcommands of other distributions, for example ``grade``."""
        names = {
            name: target for name, target in tool_commands().items() if name.startswith("plugins ")
        }
        return {
            "list": ("rolehost.cli.plugins:list_plugins", "List all installed plugins by name."),
            **{name.removeprefix("plugins "): target for name, target in names.items()},
        }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the command ``list`` if the first argument is not a command."""
        if not args or args[0] not in {*self.targets(), "-h", "--help"}:
            tool = f"plugins {args[0]}" if args else ""
            if tool in TOOL_EXTRAS:
                ctx.fail(install_hint(tool))
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Plugins)
def plugins() -> None:
    """List installed plugins. Default command: list."""


@click.command("list")
@takes_deployment()
@click.option("--probe", "probing", is_flag=True, help="Also import disabled plugins.")
@click.option(
    "--pin",
    "pinning",
    is_flag=True,
    help="Pin the enabled plugins in a file.",
)
@as_json
@click.pass_obj
def list_plugins(context: Context, probing: bool, pinning: bool, as_json: bool) -> int:
    """List all installed plugins by name.

    Plugins that are not enabled are not imported, so a broken plugin may be listed as disabled.
    --probe imports all plugins and reports their errors. If the deployment file itself has errors,
    these follow the list, and the exit status is 3.

    --pin lists nothing: it writes distribution, version and hash of each enabled plugin to a file
    next to the deployment. If [deployment] pins names this file, a plugin that differs is refused.
    """
    if pinning:
        return pin.write(context.deployment)
    examined = context.examined
    found = installed()
    rows = [_row(plugin, examined, probing=probing) for plugin in found]
    missing = set(examined.deployment.plugins) - {plugin.name for plugin in found}
    rows += [_missing_row(name, examined) for name in missing]
    rows.sort(key=lambda row: (row["name"], row["distribution"] or ""))
    print_rows(
        rows, as_json=as_json, empty="no plugin is installed: pip install 'rolehost[standard]'"
    )
    if examined.file_errors:
        print_problems(examined.file_errors)
        return exits.CONFIGURATION
    return exits.OK


def _row(plugin: InstalledPlugin, examined: Examined, *, probing: bool) -> dict[str, Any]:
    state, why, info = _state(plugin, examined, probing=probing)
    return {
        "name": plugin.name,
        "state": state,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "why": why,
        "summary": info.summary if info else "",
        "extensions": _extensions(examined.composition, plugin.name),
    }


def _missing_row(name: str, examined: Examined) -> dict[str, Any]:
    hint = next((each.fix for each in examined.plugin_errors if each.got == name), "install it")
    return {
        "name": name,
        "state": "missing",
        "distribution": None,
        "version": None,
        "why": f"{_enabled_at(examined.deployment, name)}: not installed; {hint}",
        "summary": "",
        "extensions": [],
    }


def _state(
    plugin: InstalledPlugin, examined: Examined, *, probing: bool
) -> tuple[str, str, PluginInfo | None]:
    """Return the state, the reason, and the PluginInfo if it was loaded."""
    deployment, composition = examined.deployment, examined.composition
    if plugin.name not in deployment.plugins:
        probed = probe(deployment, plugin) if probing else None
        if probed is not None and probed.problems:
            return "broken", _text(probed.problems), probed.info
        why = f"not in plugins of {deployment.path or '(no deployment file)'}"
        return "disabled", why, probed.info if probed else None
    own = [each for each in examined.problems if _concerns(each, plugin)]
    if own:
        return "broken", _text(own), None
    failed = {each.name: each.reason for each in composition.degraded} if composition else {}
    if plugin.name in failed:
        return "degraded", failed[plugin.name], None
    info = composition.plugin(plugin.name).info if composition else None
    return "enabled", _enabled_at(deployment, plugin.name), info


def _extensions(composition: Composition | None, name: str) -> list[str]:
    if composition is None:
        return []
    offered = [
        f"offers {point.hook}"
        for plugin in composition.plugins
        if plugin.name == name
        for point in plugin.info.extension_points
    ]
    return offered + [f"extends {item}" for item in extends(composition, name)]


def _enabled_at(deployment: Deployment, name: str) -> str:
    origin = deployment.origins.get(f"plugins.{name}")
    return f"enabled at {origin.text}" if origin else "enabled"


def _concerns(problem: Problem, plugin: InstalledPlugin) -> bool:
    return plugin.who in problem.who or problem.who == f"plugin {plugin.name}"


def _text(problems: Iterable[Problem]) -> str:
    return "; ".join(f"{each.code}: {each.what} ({each.where}): {each.got}" for each in problems)
