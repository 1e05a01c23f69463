"""Every check of a fleet: each looks at all deployments and notes what does not fit."""

from __future__ import annotations

from rolehost.fleet import agreement, alike, budgets, shutdown, storage, topology
from rolehost.fleet.findings import Findings, Notes
from rolehost.fleet.model import Fleet


def check(fleet: Fleet, *, connections: int | None = None) -> Findings:
    """Check how the deployments of a fleet fit together. Pure: nothing is connected to.

    Args:
        fleet: deployments that compose, each by itself without a mistake.
        connections: what the database server says it leaves to the fleet, where it was asked;
            None takes ``[fleet] database_connections``.
    """
    notes = Notes()
    topology.check(fleet, notes)
    alike.check(fleet, notes)
    agreement.check(fleet, notes)
    storage.check(fleet, notes)
    shutdown.check(fleet, notes)
    budgets.check(fleet, notes, connections)
    return notes.findings()
