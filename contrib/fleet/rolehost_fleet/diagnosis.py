"""Errors of a running fleet: orphans, drift, missing and hanging processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rolehost.composition.manifest import Manifest
from rolehost.errors import Problem

from rolehost_fleet.findings import Findings
from rolehost_fleet.orphans import orphans
from rolehost_fleet.status import FleetStatus, Live, who
from rolehost_fleet.warnings import warnings


def diagnose(status: FleetStatus, expected: Sequence[Manifest] = ()) -> Findings:
    """Return the errors and warnings of a running fleet.

    Args:
        status: status of the fleet.
        expected: manifests of the deployments that should run.
    """
    errors = [
        *_missing(status, expected),
        *_hanging(status),
        *_schema(status),
        *orphans(status, expected),
        *_mixed(status),
        *_differing(status, expected),
    ]
    return Findings(errors=tuple(errors), warnings=tuple(warnings(status, expected)))


def differences(one: Manifest, other: Manifest) -> list[str]:
    """Return the differences between two manifests of one deployment, in a few words each."""
    found = []
    if one.version != other.version:
        found.append(f"rolehost {one.version} and {other.version}")
    before = {plugin.name: plugin for plugin in one.plugins}
    after = {plugin.name: plugin for plugin in other.plugins}
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            found.append(f"plugin {name} in one of them")
        elif before[name].version != after[name].version:
            found.append(f"plugin {name} {before[name].version} and {after[name].version}")
    keys = one.settings.keys() | other.settings.keys()
    changed = sorted(key for key in keys if one.settings.get(key) != other.settings.get(key))
    found += [f"setting {key}" for key in changed if key != "plugins"]
    kinds = ("actors", "handlers", "schedules", "migrations", "payloads", "backends")
    if not found:
        found += [kind for kind in kinds if getattr(one, kind) != getattr(other, kind)]
    return found


def _missing(status: FleetStatus, expected: Iterable[Manifest]) -> Iterator[Problem]:
    lives: dict[str, set[str]] = {}
    for process in status.processes:
        lives.setdefault(process.deployment, set()).add(process.role)
    for manifest in expected:
        wanted = [role for role in manifest.roles if manifest.processes.get(role, 1)]
        lacking = [role for role in wanted if role not in lives.get(manifest.deployment, ())]
        if not lacking or not manifest.backends.get("database"):
            continue
        name = manifest.deployment
        nothing = name not in lives
        yield Problem(
            code="no-process",
            who=f"deployment {name}",
            where="presence",
            what=f"no process of {name} is running"
            if nothing
            else f"{name} has no process of the role {', '.join(lacking)}",
            expected=f"processes of the role {', '.join(wanted)}",
            got="none" if nothing else f"only {', '.join(sorted(lives[name]))}",
            fix="start it, or do not name its file; [fleet] roles and replicas set what runs",
        )


def _hanging(status: FleetStatus) -> Iterator[Problem]:
    """Yield an error for each process that makes no progress."""
    said: dict[tuple[str, str], list[Live]] = {}
    for process in status.processes:
        state, _, what = (process.state or "").partition(": ")
        if state == "hung":
            what = f"{process.role}.{process.slot} hangs"
        if state in ("hung", "unready"):
            said.setdefault((f"{process.deployment} on {process.host}", what), []).append(process)
    for (where, what), processes in said.items():
        yield Problem(
            code="hang",
            who=f"deployment {where}",
            where="presence",
            what=f"{what}: it makes no progress, and the deployment is not ready",
            expected="progress, or its replacement by the supervisor ([supervisor] hang)",
            got=f"reported by {', '.join(who(each) for each in processes)}",
            fix="the supervisor's log has the stacks of its threads; see docs/operations.md",
        )


def _schema(status: FleetStatus) -> Iterator[Problem]:
    """Yield an error for each deployment whose code needs another schema."""
    for deployment, drift in status.drifts.items():
        if drift.error:
            yield Problem(
                code="schema",
                who=f"deployment {deployment}",
                where="table rolehost_migrations",
                what="the schema does not fit the code",
                expected="all migrations of the phase pre, unchanged, and no newer ones",
                got=drift.error,
                fix="rolehost migrate status -d FILE lists them, rolehost migrate up -d FILE"
                " applies pending ones; or run the version of the code that fits the schema",
            )


def _mixed(status: FleetStatus) -> Iterator[Problem]:
    """Yield an error for each deployment whose processes have different manifests."""
    runs: dict[str, dict[str, list[Live]]] = {}
    for process in status.processes:
        manifest = status.manifest(process)
        core = manifest.shared_hash if manifest else "an older host"
        runs.setdefault(process.deployment, {}).setdefault(core, []).append(process)
    for deployment, by_core in runs.items():
        if len(by_core) < 2:
            continue
        known = [m for m in (status.manifest(each[0]) for each in by_core.values()) if m]
        how = differences(known[0], known[1]) if len(known) > 1 else ["versions"]
        yield Problem(
            code="drift",
            who=f"deployment {deployment}",
            where="presence",
            what=f"processes of {deployment} have different manifests",
            expected="one manifest in all of them, except during a rollout",
            got="; ".join(
                f"{core}: {', '.join(who(each) for each in processes)}"
                for core, processes in by_core.items()
            ),
            fix=f"finish the rollout; they differ in {', '.join(how)}",
        )


def _differing(status: FleetStatus, expected: Iterable[Manifest]) -> Iterator[Problem]:
    """Yield an error for each deployment whose processes do not run what its file says."""
    for manifest in expected:
        running = [
            known
            for process in status.processes
            if process.deployment == manifest.deployment
            and (known := status.manifest(process)) is not None
        ]
        if not running or any(each.shared_hash == manifest.shared_hash for each in running):
            continue
        how = differences(running[0], manifest) or ["what plugins contribute"]
        yield Problem(
            code="not-rolled-out",
            who=f"deployment {manifest.deployment}",
            where="presence",
            what=f"{manifest.deployment} does not run what its file says",
            expected=f"manifest {manifest.shared_hash}",
            got=", ".join(sorted({each.shared_hash for each in running})),
            fix=f"roll it out (rolehost fleet plan live FILES), or name the file that runs;"
            f" they differ in {', '.join(how)}",
        )
