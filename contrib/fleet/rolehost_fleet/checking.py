"""Every check of a fleet: each looks at all deployments and notes what does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.composition.manifest import Manifest

from rolehost_fleet import budgets, consistency, settings, shutdown, storage, topology, versions
from rolehost_fleet.findings import Findings, Notes
from rolehost_fleet.model import Fleet


def check(
    fleet: Fleet, *, connections: int | None = None, manifests: Sequence[Manifest] = ()
) -> Findings:
    """Check how the deployments of a fleet fit together. Pure: nothing is connected to.

    Args:
        fleet: deployments that compose, each by itself without a mistake.
        connections: what the database server says it leaves to the fleet, where it was asked;
            None takes ``[fleet] database_connections``.
        manifests: of deployments of the fleet that run with what is installed elsewhere; their
            versions must be those of here.
    """
    notes = Notes()
    topology.check(fleet, notes)
    consistency.check(fleet, notes)
    settings.check(fleet, notes)
    storage.check(fleet, notes)
    shutdown.check(fleet, notes)
    budgets.check(fleet, notes, connections)
    if manifests:
        versions.check(fleet, manifests, notes)
    for member in fleet.members:
        degraded = [each for each in member.composition.warnings if each.code == "degraded"]
        notes.warnings.extend(degraded)
    return notes.findings()
