"""Orphans: work that no living process takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rolehost.composition.manifest import Manifest
from rolehost.errors import Problem

from rolehost_fleet.status import FleetStatus, count


def orphans(status: FleetStatus, expected: Sequence[Manifest]) -> Iterator[Problem]:
    """Yield an error for each backlog that no living process takes.

    Args:
        status: status of the fleet.
        expected: manifests that should run; the fixes name them.
    """
    live = status.running()
    yield from _jobs(status, live, expected)
    yield from _messages(status, live)
    yield from _groups(status, live, expected)
    yield from _schedules(status, live, expected)
    yield from _outbox(status, live)


def _jobs(
    status: FleetStatus, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if any(process.role == "worker" and not process.manifest for process in status.processes):
        return  # an older host does not store its actors
    worked = {(entry.queue, name) for each in live for name, entry in each.actors_run.items()}
    for jobs in status.jobs:
        if not jobs.waiting or (jobs.queue, jobs.actor) in worked:
            continue
        queues = sorted({queue for queue, name in worked if name == jobs.actor})
        yield Problem(
            code="orphaned-jobs",
            who=f"actor {jobs.actor}",
            where=f"queue {jobs.queue}",
            what=f"{count(jobs.waiting, 'job')} of {jobs.actor} will never be done:"
            " no living worker takes them",
            expected=f"a worker with {jobs.actor} on the queue {jobs.queue}",
            got=f"workers take it from {', '.join(queues)}" if queues else "none",
            fix=_fix_actor(jobs.actor, jobs.queue, status, expected),
        )


def _fix_actor(actor: str, queue: str, status: FleetStatus, expected: Sequence[Manifest]) -> str:
    for known, verb in ((expected, "start"), (tuple(status.manifests.values()), "restart")):
        for manifest in known:
            entry = manifest.actors_run.get(actor)
            if entry is not None and entry.queue == queue:
                return f"{verb} the worker of {manifest.deployment}, which has the actor"
    for manifest in status.manifests.values():
        for entry in manifest.actors:
            if entry.name == actor and entry.queue == queue:
                return (
                    f"run a worker with the plugin {entry.plugin}, which had the actor"
                    f" in {manifest.deployment}; or cancel the jobs (rolehost jobs)"
                )
    return "enable the plugin of the actor in a worker; or cancel the jobs (rolehost jobs)"


def _messages(status: FleetStatus, live: Sequence[Manifest]) -> Iterator[Problem]:
    taken = {
        entry.queue for each in live for entry in each.actors_run.values() if not entry.durable
    }
    for queue, waiting in status.messages.items():
        if queue not in taken:
            yield Problem(
                code="orphaned-messages",
                who=f"queue {queue}",
                where=f"queue {queue}",
                what=f"{count(waiting, 'ephemeral message')} in {queue} will never be taken:"
                " no living worker has an ephemeral actor there",
                expected=f"a worker with an ephemeral actor on the queue {queue}",
                got="none",
                fix="start a worker that takes these messages",
            )


def _groups(
    status: FleetStatus, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if any(process.role == "consumer" and not process.manifest for process in status.processes):
        return
    consumed = {key for each in live for key in each.handlers_run}
    for unread in status.unread:
        if not unread.records or (unread.topic, unread.group) in consumed:
            continue
        known = (*expected, *status.manifests.values())
        whose = next(
            (
                each.deployment
                for each in known
                if (unread.topic, unread.group) in each.handlers_run
            ),
            "",
        )
        yield Problem(
            code="orphaned-group",
            who=f"group {unread.group}",
            where=f"topic {unread.topic}",
            what=f"{count(unread.records, 'event')} of {unread.topic} will never be read by the"
            f" group {unread.group}: no living consumer has it",
            expected=f"a consumer with a handler of {unread.topic} in the group {unread.group}",
            got="none",
            fix=f"start the consumer of {whose}, which reads the topic"
            if whose
            else "enable the plugin with the handler in a consumer",
        )


def _schedules(
    status: FleetStatus, live: Sequence[Manifest], expected: Sequence[Manifest]
) -> Iterator[Problem]:
    if status.leader is not None:
        return
    names = sorted({name for each in (*live, *expected) for name in each.schedules_run})
    if names:
        yield Problem(
            code="no-scheduler",
            who=f"schedules {', '.join(names)}",
            where="lease scheduler",
            what=f"{count(len(names), 'schedule')} will not tick: no living scheduler leads",
            expected="one scheduler that holds the lease",
            got="none",
            fix="start a deployment with the role scheduler; a dead leader is replaced after"
            " [scheduler] lease seconds",
        )


def _outbox(status: FleetStatus, live: Sequence[Manifest]) -> Iterator[Problem]:
    if not status.outbox or any(each.relays for each in live) or status.relays:
        return
    topics = ", ".join(each.topic for each in status.outbox)
    yield Problem(
        code="no-relay",
        who=f"topics {topics}",
        where="outbox",
        what=f"{count(sum(each.events for each in status.outbox), 'event')} will not reach"
        " the stream: no living process relays the outbox",
        expected="a process of a deployment that publishes and has a stream",
        got="none",
        fix="start a deployment whose plugins publish these topics",
    )
