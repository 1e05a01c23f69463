"""What is wrong with a fleet that runs: orphans, drift, what should live and does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rolehost.errors import Problem
from rolehost.fleet.findings import Findings
from rolehost.fleet.manifest import Manifest
from rolehost.fleet.standing import Live, Standing, who

#: Seconds that an event may wait in the outbox of a fleet that relays.
LATE = 60.0

#: Seconds by which a process's clock may be ahead of this one's.
SKEW = 2.0


def diagnose(standing: Standing, expected: Sequence[Manifest] = ()) -> Findings:
    """Judge a fleet.

    Args:
        standing: how it stands.
        expected: what should run, of the deployments whose files were given.
    """
    live = standing.running()
    mistakes = [
        *_missing(standing, expected),
        *_orphaned_jobs(standing, live, expected),
        *_orphaned_messages(standing, live),
        *_orphaned_groups(standing, live, expected),
        *_orphaned_schedules(standing, live, expected),
        *_orphaned_outbox(standing, live),
        *_mixed(standing),
        *_differing(standing, expected),
    ]
    return Findings(mistakes=tuple(mistakes), warnings=tuple(_warnings(standing, expected)))


def differences(one: Manifest, other: Manifest) -> list[str]:
    """Say in a few words how two manifests of one deployment differ."""
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


def _missing(standing: Standing, expected: Iterable[Manifest]) -> Iterator[Problem]:
    lives: dict[str, set[str]] = {}
    for process in standing.processes:
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
            what=f"no process of {name} lives"
            if nothing
            else f"{name} has no process of the role {', '.join(lacking)}",
            expected=f"processes of the role {', '.join(wanted)}",
            got="none" if nothing else f"only {', '.join(sorted(lives[name]))}",
            fix="start it, or leave it out of the files; [fleet] roles and replicas say what runs",
        )


def _orphaned_jobs(
    standing: Standing, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if any(process.role == "worker" and not process.manifest for process in standing.processes):
        return  # an older host does not tell what it works
    worked = {(entry.queue, name) for each in live for name, entry in each.worked.items()}
    for jobs in standing.jobs:
        if not jobs.waiting or (jobs.queue, jobs.actor) in worked:
            continue
        queues = sorted({queue for queue, name in worked if name == jobs.actor})
        yield Problem(
            code="orphaned-jobs",
            who=f"actor {jobs.actor}",
            where=f"queue {jobs.queue}",
            what=f"{_count(jobs.waiting, 'job')} of {jobs.actor} will not be worked:"
            " no living worker takes them",
            expected=f"a worker that registers {jobs.actor} on the queue {jobs.queue}",
            got=f"workers take it from {', '.join(queues)}" if queues else "none",
            fix=_fix_actor(jobs.actor, jobs.queue, standing, expected),
        )


def _fix_actor(actor: str, queue: str, standing: Standing, expected: Sequence[Manifest]) -> str:
    for known, verb in ((expected, "start"), (tuple(standing.manifests.values()), "start again")):
        for manifest in known:
            entry = manifest.worked.get(actor)
            if entry is not None and entry.queue == queue:
                return f"{verb} the worker of {manifest.deployment}, which works it"
    for manifest in standing.manifests.values():
        for entry in manifest.actors:
            if entry.name == actor and entry.queue == queue:
                return (
                    f"run a worker with the plugin {entry.plugin}, which gave it in"
                    f" {manifest.deployment}; or cancel them (rolehost jobs)"
                )
    return "enable the plugin that gives it in a worker; or cancel them (rolehost jobs)"


def _orphaned_messages(standing: Standing, live: Sequence[Manifest]) -> Iterator[Problem]:
    taken = {entry.queue for each in live for entry in each.worked.values() if not entry.durable}
    for queue, count in standing.messages.items():
        if queue not in taken:
            yield Problem(
                code="orphaned-messages",
                who=f"queue {queue}",
                where=f"queue {queue}",
                what=f"{_count(count, 'ephemeral message')} in {queue} will not be taken:"
                " no living worker has an ephemeral actor there",
                expected=f"a worker with an ephemeral actor on the queue {queue}",
                got="none",
                fix="start the worker that takes them",
            )


def _orphaned_groups(
    standing: Standing, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if any(process.role == "consumer" and not process.manifest for process in standing.processes):
        return
    consumed = {key for each in live for key in each.consumed}
    for unread in standing.unread:
        if not unread.records or (unread.topic, unread.group) in consumed:
            continue
        known = (*expected, *standing.manifests.values())
        whose = next(
            (each.deployment for each in known if (unread.topic, unread.group) in each.consumed),
            "",
        )
        yield Problem(
            code="orphaned-group",
            who=f"group {unread.group}",
            where=f"topic {unread.topic}",
            what=f"{_count(unread.records, 'event')} of {unread.topic} will not be read by the"
            f" group {unread.group}: no consumer of it lives",
            expected=f"a consumer with a handler of {unread.topic} in the group {unread.group}",
            got="none",
            fix=f"start the consumer of {whose}, which reads it"
            if whose
            else "enable the plugin that reads it in a consumer",
        )


def _orphaned_schedules(
    standing: Standing, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if standing.leader is not None:
        return
    names = sorted({name for each in (*live, *expected) for name in each.ticked})
    if names:
        yield Problem(
            code="no-scheduler",
            who=f"schedules {', '.join(names)}",
            where="lease scheduler",
            what=f"{_count(len(names), 'schedule')} will not tick: no living scheduler leads",
            expected="one scheduler that holds the lease",
            got="nobody holds it",
            fix="start a deployment with the role scheduler; a dead leader is replaced after"
            " [scheduler] lease seconds",
        )


def _orphaned_outbox(standing: Standing, live: Sequence[Manifest]) -> Iterator[Problem]:
    if not standing.outbox or any(each.relays for each in live) or standing.relays:
        return
    topics = ", ".join(each.topic for each in standing.outbox)
    yield Problem(
        code="no-relay",
        who=f"topics {topics}",
        where="outbox",
        what=f"{_count(sum(each.events for each in standing.outbox), 'event')} will not reach"
        " the stream: no living process relays the outbox",
        expected="a process of a deployment that publishes and has a stream",
        got="none",
        fix="start a deployment whose plugins publish these topics",
    )


def _mixed(standing: Standing) -> Iterator[Problem]:
    """Tell of deployments whose processes run different things."""
    runs: dict[str, dict[str, list[Live]]] = {}
    for process in standing.processes:
        manifest = standing.manifest(process)
        core = manifest.core if manifest else "an older host"
        runs.setdefault(process.deployment, {}).setdefault(core, []).append(process)
    for deployment, by_core in runs.items():
        if len(by_core) < 2:
            continue
        known = [m for m in (standing.manifest(each[0]) for each in by_core.values()) if m]
        how = differences(known[0], known[1]) if len(known) > 1 else ["versions"]
        yield Problem(
            code="drift",
            who=f"deployment {deployment}",
            where="presence",
            what=f"processes of {deployment} run different things",
            expected="one manifest in all of them, but during a rollout",
            got="; ".join(
                f"{core}: {', '.join(who(each) for each in processes)}"
                for core, processes in by_core.items()
            ),
            fix=f"finish the rollout; they differ in {', '.join(how)}",
        )


def _differing(standing: Standing, expected: Iterable[Manifest]) -> Iterator[Problem]:
    """Tell of deployments that run something else than their files say."""
    for manifest in expected:
        running = [
            known
            for process in standing.processes
            if process.deployment == manifest.deployment
            and (known := standing.manifest(process)) is not None
        ]
        if not running or any(each.core == manifest.core for each in running):
            continue
        how = differences(running[0], manifest) or ["what plugins contribute"]
        yield Problem(
            code="not-rolled-out",
            who=f"deployment {manifest.deployment}",
            where="presence",
            what=f"{manifest.deployment} runs something else than its file says",
            expected=f"manifest {manifest.core}",
            got=", ".join(sorted({each.core for each in running})),
            fix=f"roll it out (rolehost fleet plan live FILES), or give the file that runs;"
            f" they differ in {', '.join(how)}",
        )


def _warnings(standing: Standing, expected: Iterable[Manifest]) -> Iterator[Problem]:
    yield from _few(standing, expected)
    dead = sum(each.dead for each in standing.jobs) + sum(each.dead for each in standing.unread)
    if dead:
        yield Problem(
            code="dead-letters",
            who="fleet",
            where="dead letters",
            what=f"{_count(dead, 'dead letter')} wait for a decision",
            expected="none",
            got=str(dead),
            fix="rolehost dead list shows why; replay or discard them",
        )
    late = [each for each in standing.outbox if standing.now - each.oldest > LATE * 1000]
    if late:
        yield Problem(
            code="late-outbox",
            who=f"topics {', '.join(each.topic for each in late)}",
            where="outbox",
            what=f"events have waited for {(standing.now - late[0].oldest) / 1000:.0f} s",
            expected=f"at most {LATE:.0f} s",
            got=_count(sum(each.events for each in late), "event"),
            fix="look at the stream: rolehost doctor",
        )
    if standing.stream is False:
        yield Problem(
            code="stream-away",
            who="fleet",
            where="stream",
            what="the stream does not answer, so what groups have not read is not known",
            expected="an answer",
            got="none",
            fix="rolehost doctor says why",
        )
    ahead = [p for p in standing.processes if (p.renewed or 0) - standing.now > SKEW * 1000]
    if ahead:
        yield Problem(
            code="clock-skew",
            who=", ".join(who(each) for each in ahead),
            where=", ".join(sorted({each.host for each in ahead})),
            what="the clock there is ahead of this machine's",
            expected=f"less than {SKEW:g} s",
            got=f"{max((each.renewed or 0) - standing.now for each in ahead) / 1000:.1f} s",
            fix="synchronise the clocks: leases compare them",
        )
    for manifest in standing.running():
        if manifest.degraded:
            yield Problem(
                code="degraded",
                who=f"deployment {manifest.deployment}",
                where="presence",
                what=f"{manifest.deployment} runs without {', '.join(manifest.degraded)}",
                expected="every enabled plugin",
                got="its routes answer 503, its jobs and events wait",
                fix="its log, and rolehost check, say what failed",
            )
    pythons = {process.python for process in standing.processes if process.python}
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


def _few(standing: Standing, expected: Iterable[Manifest]) -> Iterator[Problem]:
    for manifest in expected:
        for role in manifest.roles:
            wanted = manifest.processes.get(role, 1)
            lives = sum(
                (process.deployment, process.role) == (manifest.deployment, role)
                for process in standing.processes
            )
            if 0 < lives < wanted:
                yield Problem(
                    code="few-processes",
                    who=f"deployment {manifest.deployment}",
                    where="presence",
                    what=f"{lives} of {wanted} processes of the role {role} live",
                    expected=str(wanted),
                    got=str(lives),
                    fix="look at the logs of those that do not come up",
                )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
