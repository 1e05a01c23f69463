"""``rolehost fleet``: several deployments that run together."""

from __future__ import annotations

import click

from rolehost.cli.lazy import LazyGroup

#: Name → (``module:attribute``, one line for the help).
SUBCOMMANDS = {
    "check": ("rolehost.cli.fleet_check:check", "Check that deployments fit together."),
    "graph": ("rolehost.cli.fleet_graph:graph", "Draw who runs, sends and takes what."),
    "manifest": ("rolehost.cli.fleet_manifest:manifest", "Write down what a fleet is."),
    "plan": ("rolehost.cli.fleet_plan:plan", "Tell what a new version of the fleet changes."),
    "status": ("rolehost.cli.fleet_status:status", "Tell which processes of the fleet live."),
}


@click.group(cls=LazyGroup, targets=SUBCOMMANDS)
def fleet() -> None:
    """Several deployments that run together: checked, drawn, compared and watched."""
