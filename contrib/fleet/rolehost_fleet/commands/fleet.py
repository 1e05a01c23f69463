"""``rolehost fleet``: several deployments that run together."""

from __future__ import annotations

import click
from rolehost.cli.lazy import LazyGroup

#: Name → (``module:attribute``, one line for the help).
SUBCOMMANDS = {
    "check": ("rolehost_fleet.commands.check:check", "Check that deployments fit together."),
    "graph": ("rolehost_fleet.commands.graph:graph", "Draw roles, queues and topics."),
    "manifest": (
        "rolehost_fleet.commands.manifest:manifest",
        "Write the manifests of deployments.",
    ),
    "plan": (
        "rolehost_fleet.commands.plan:plan",
        "Print changes and rollout order of a new version.",
    ),
    "status": ("rolehost_fleet.commands.status:status", "Print processes, backlogs and problems."),
}


@click.group(cls=LazyGroup, targets=SUBCOMMANDS)
def fleet() -> None:
    """Check, draw, compare and watch deployments that run together."""
