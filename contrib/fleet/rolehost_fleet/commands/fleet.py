"""``rolehost fleet``: several deployments that run together."""

from __future__ import annotations

import click
from rolehost.cli.lazy import LazyGroup

#: Name → (``module:attribute``, one line for the help).
SUBCOMMANDS = {
    "check": ("rolehost_fleet.commands.check:check", "Check that deployments fit together."),
    "graph": ("rolehost_fleet.commands.graph:graph", "Draw who runs, sends and takes what."),
    "manifest": ("rolehost_fleet.commands.manifest:manifest", "Write down what a fleet is."),
    "plan": ("rolehost_fleet.commands.plan:plan", "Tell what a new version of the fleet changes."),
    "status": ("rolehost_fleet.commands.status:status", "Tell which processes of the fleet live."),
}


@click.group(cls=LazyGroup, targets=SUBCOMMANDS)
def fleet() -> None:
    """Check, draw, compare and watch deployments that run together."""
