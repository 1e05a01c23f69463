"""Warnings of a running fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rolehost.composition.manifest import Manifest
from rolehost.errors import Problem

from rolehost_fleet.schedules import problems
from rolehost_fleet.status import FleetStatus, count, who

#: Seconds that an event may wait in the outbox.
LATE = 60.0

#: Seconds by which a process's clock may be ahead of the clock of this machine.
SKEW = 2.0


def warnings(status: FleetStatus, expected: Iterable[Manifest]) -> Iterator[Problem]:
    """Yield warnings.

    Args:
        status: status of the fleet.
        expected: manifests that should run.
    """
    yield from _few(status, expected)
    yield from _dead(status)
    yield from _late(status)
    yield from _clocks(status)
    yield from _ticks(status)
    yield from _degraded(status)
    yield from _pythons(status)
    for deployment, drift in status.drifts.items():
        if drift.warning:
            yield Problem(
                code="newer-schema",
                who=f"deployment {deployment}",
                where="table rolehost_migrations",
                what=drift.warning,
                expected="newer migrations during a rollout only",
                got=", ".join(drift.newer),
                fix="finish the rollout, or revert the migrations: rolehost migrate down",
            )


def _dead(status: FleetStatus) -> Iterator[Problem]:
    dead = sum(each.dead for each in status.jobs) + sum(each.dead for each in status.unread)
    dead += status.dead_messages or 0
    if dead:
        yield Problem(
            code="dead-letters",
            who="fleet",
            where="dead letters",
            what=f"{count(dead, 'dead letter')} wait for a decision",
            expected="none",
            got=str(dead),
            fix="rolehost dead list shows why; replay or discard them",
        )


def _late(status: FleetStatus) -> Iterator[Problem]:
    late = [each for each in status.outbox if status.now - each.oldest > LATE * 1000]
    if late:
        yield Problem(
            code="late-outbox",
            who=f"topics {', '.join(each.topic for each in late)}",
            where="outbox",
            what=f"events have waited for {(status.now - late[0].oldest) / 1000:.0f} s",
            expected=f"at most {LATE:.0f} s",
            got=count(sum(each.events for each in late), "event"),
            fix="check the stream: rolehost doctor",
        )
    if status.stream is False:
        yield Problem(
            code="stream-away",
            who="fleet",
            where="stream",
            what="the stream does not answer, so the number of unread events is unknown",
            expected="an answer",
            got="none",
            fix="rolehost doctor shows why",
        )


def _clocks(status: FleetStatus) -> Iterator[Problem]:
    ahead = [p for p in status.processes if (p.renewed or 0) - status.now > SKEW * 1000]
    if ahead:
        yield Problem(
            code="clock-skew",
            who=", ".join(who(each) for each in ahead),
            where=", ".join(sorted({each.host for each in ahead})),
            what="the clock there is ahead of the clock of this machine",
            expected=f"less than {SKEW:g} s",
            got=f"{max((each.renewed or 0) - status.now for each in ahead) / 1000:.1f} s",
            fix="update the host there, or synchronise its clock: leases compare it",
        )


def _ticks(status: FleetStatus) -> Iterator[Problem]:
    for state in status.ticks:
        yield from problems(state, status.now)


def _degraded(status: FleetStatus) -> Iterator[Problem]:
    for manifest in status.running():
        if manifest.degraded:
            yield Problem(
                code="degraded",
                who=f"deployment {manifest.deployment}",
                where="presence",
                what=f"{manifest.deployment} runs without {', '.join(manifest.degraded)}",
                expected="every enabled plugin",
                got="its routes answer 503, its jobs and events wait",
                fix="its log and rolehost check show the error",
            )


def _pythons(status: FleetStatus) -> Iterator[Problem]:
    pythons = {process.python for process in status.processes if process.python}
    if len(pythons) > 1:
        yield Problem(
            code="python-drift",
            who="fleet",
            where="presence",
            what="processes run on different versions of Python",
            expected="one version",
            got=", ".join(sorted(pythons)),
            fix="use one image for all",
        )


def _few(status: FleetStatus, expected: Iterable[Manifest]) -> Iterator[Problem]:
    for manifest in expected:
        for role in manifest.roles:
            wanted = manifest.processes.get(role, 1)
            lives = sum(
                (process.deployment, process.role) == (manifest.deployment, role)
                for process in status.processes
            )
            if 0 < lives < wanted:
                yield Problem(
                    code="few-processes",
                    who=f"deployment {manifest.deployment}",
                    where="presence",
                    what=f"{lives} of {wanted} processes of the role {role} live",
                    expected=str(wanted),
                    got=str(lives),
                    fix="read the logs of those that do not start",
                )
