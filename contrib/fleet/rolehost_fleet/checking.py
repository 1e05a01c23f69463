"""All checks of a fleet."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.composition.manifest import Manifest

from rolehost_fleet import budgets, consistency, settings, shutdown, storage, topology, versions
from rolehost_fleet.findings import Findings, Notes
from rolehost_fleet.model import Fleet


def check(
    fleet: Fleet, *, connections: int | None = None, manifests: Sequence[Manifest] = ()
) -> Findings:
    """Check whether the deployments of a fleet fit together. Connects to nothing.

    Args:
        fleet: deployments, each of which is correct alone.
        connections: connection limit of the database server; None: the limit in
            ``[fleet] database_connections`` counts.
        manifests: manifests (deployments described as data) from other images of this fleet; they
            must have the versions that are installed here.
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
