"""The constraints on the order of a rollout, and the errors that forbid it.

If something is added, its consumers roll out before its producers. If something is removed, its
producers roll out first, then its backlog is processed, then its consumers roll out. During a
rollout old and new processes run side by side, so old jobs meet new workers and new jobs meet old
workers.
"""

from __future__ import annotations

from rolehost_fleet.changes import Sides
from rolehost_fleet.rollout_events import check_events
from rolehost_fleet.rollout_jobs import check_actors
from rolehost_fleet.rules import Rules
from rolehost_fleet.status import FleetStatus


def rules(sides: Sides, status: FleetStatus | None) -> Rules:
    """Return the constraints and problems of a rollout from one version to another.

    Args:
        sides: both versions.
        status: status of the fleet; None: unknown.
    """
    found = Rules()
    check_actors(found, sides, status)
    check_events(found, sides, status)
    _schedules(found, sides)
    _backends(found, sides)
    _migrations(found, sides)
    return found


def _schedules(found: Rules, sides: Sides) -> None:
    for deployment, manifest in sides.new.items():
        before = sides.old.get(deployment)
        ticked = before.schedules_run if before else {}
        for name, entry in manifest.schedules_run.items():
            if name not in ticked:
                workers = [each for each, one in sides.new.items() if entry.actor in one.actors_run]
                found.before(workers, [deployment], f"it has the workers for the schedule {name}")


def _backends(found: Rules, sides: Sides) -> None:
    for name in sorted(sides.old.keys() & sides.new.keys()):
        before, after = sides.old[name].backends, sides.new[name].backends
        for kind in ("database", "stream"):
            if before.get(kind) and after.get(kind) and before[kind] != after[kind]:
                found.error(
                    "backend-changed",
                    f"deployment {name}",
                    f"{name} changes its {kind} from {before[kind]} to {after[kind]}, and the data"
                    " stays in the old one",
                    expected=f"{before[kind]}",
                    got=f"{after[kind]}",
                    fix="move the data while nothing runs; then plan with"
                    f' --accept "deployment {name}"',
                )


def _migrations(found: Rules, sides: Sides) -> None:
    known = {each for manifest in sides.new.values() for each in manifest.migrations}
    gone = sorted({each for manifest in sides.old.values() for each in manifest.migrations} - known)
    if gone:
        found.warning(
            "migrations-gone",
            "schema",
            f"the new version does not have {', '.join(each.label for each in gone)}",
            expected="every migration that the old version has",
            got="fewer",
            fix="if this is a downgrade, revert them with the old version"
            " (rolehost migrate down) after its processes are gone",
        )
