"""Constraints of actors on a rollout: order of workers and senders, backlog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rolehost.composition.manifest import ActorEntry, Manifest

from rolehost_fleet.changes import Sides, signature
from rolehost_fleet.compatibility import conflicts, fields, renamed
from rolehost_fleet.rules import Rules, by_name
from rolehost_fleet.status import FleetStatus, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One actor in both versions.

    Attributes:
        name: its name.
        old: deployment whose workers run it → its entry, in the old version.
        new: the same, in the new version.
        senders_old: deployments that enqueue it, in the old version.
        senders_new: the same, in the new version.
        left: number of its jobs that wait; None: unknown.
        external: workers outside the fleet take its jobs.
    """

    name: str
    old: Mapping[str, ActorEntry]
    new: Mapping[str, ActorEntry]
    senders_old: Sequence[str]
    senders_new: Sequence[str]
    left: int | None
    external: bool

    @property
    def who(self) -> str:
        """The actor, for the ``who`` of problems."""
        return f"actor {self.name}"

    @property
    def before(self) -> ActorEntry:
        """Its entry in the old version."""
        return next(iter(self.old.values()))

    @property
    def after(self) -> ActorEntry:
        """Its entry in the new version."""
        return next(iter(self.new.values()))


def check_actors(found: Rules, sides: Sides, status: FleetStatus | None) -> None:
    """Add the constraints and problems of every actor.

    Args:
        found: collects them.
        sides: both versions.
        status: status of the fleet; None: unknown.
    """
    old = by_name(sides.old, lambda manifest: manifest.actors_run)
    new = by_name(sides.new, lambda manifest: manifest.actors_run)
    for name in sorted(old.keys() | new.keys()):
        workers = old.get(name, {})
        _actor(
            found,
            Actor(
                name=name,
                old=workers,
                new=new.get(name, {}),
                senders_old=_senders(sides.old, name),
                senders_new=_senders(sides.new, name),
                left=_left(status, name, workers.values()),
                external=any(f"actor:{name}" in each.external for each in sides.new.values()),
            ),
        )


def _senders(manifests: Mapping[str, Manifest], actor: str) -> list[str]:
    return sorted(name for name, manifest in manifests.items() if actor in manifest.enqueues)


def _left(status: FleetStatus | None, actor: str, entries: Iterable[ActorEntry]) -> int | None:
    """Count the jobs of an actor; for an ephemeral actor, all messages of its queue."""
    if status is None:
        return None
    queues = {entry.queue for entry in entries}
    if any(not entry.durable for entry in entries):
        return sum(status.messages.get(queue, 0) for queue in queues)
    return sum(
        each.waiting + each.held
        for each in status.jobs
        if each.actor == actor and each.queue in queues
    )


def _actor(found: Rules, actor: Actor) -> None:
    if not actor.old:
        found.before(
            actor.new, actor.senders_new, f"it has the workers of the new actor {actor.name}"
        )
    elif not actor.new:
        _removed(found, actor)
    else:
        gained = sorted(actor.new.keys() - actor.old.keys())
        lost = sorted(actor.old.keys() - actor.new.keys())
        found.before(gained, lost, f"it takes over the actor {actor.name}")
        if (actor.before.queue, actor.before.durable) != (actor.after.queue, actor.after.durable):
            _moved(found, actor)
        _arguments(found, actor)


def _removed(found: Rules, actor: Actor) -> None:
    """No worker has the actor any more: senders stop first, then the backlog is processed."""
    name, workers = actor.name, ", ".join(sorted(actor.old))
    if actor.senders_new and not actor.external:
        found.error(
            "actor-without-worker",
            actor.who,
            f"{', '.join(actor.senders_new)} still enqueues {name}, but no worker has it any more",
            expected="a worker for every actor that is enqueued",
            got=f"workers in {workers} before, none now",
            fix="keep a worker for it, or stop enqueueing it too",
        )
    found.drain(
        f"jobs of {name}", actor.left, actor.senders_old, actor.old, f"the actor {name} is removed"
    )
    _backlog(found, actor)
    stopping = set(actor.senders_old) & set(actor.old) - set(actor.senders_new)
    if stopping:
        found.warning(
            "removed-at-once",
            actor.who,
            f"{', '.join(sorted(stopping))} stops enqueueing and stops consuming {name} in one"
            " rollout: jobs that its old processes enqueue meanwhile stay in the queue",
            expected="one rollout that stops enqueueing, and another that removes the actor",
            got="both at once",
            fix="make two rollouts, or check rolehost fleet status afterwards",
        )


def _backlog(found: Rules, actor: Actor) -> None:
    """Report jobs of a removed actor that wait or may wait."""
    workers = ", ".join(sorted(actor.old))
    if actor.left is None:
        found.warning(
            "backlog-unknown",
            actor.who,
            f"{actor.name} is removed; it is unknown whether jobs of it wait",
            expected="none waiting",
            got="unknown",
            where=f"workers in {workers}",
            fix="plan with --connect, or against live",
        )
    elif actor.left:
        # A queue counts its ephemeral messages, but not by actor.
        if actor.before.durable:
            waiting = f"{count(actor.left, 'job')} of it"
        else:
            waiting = f"{count(actor.left, 'message')} of the queue {actor.before.queue}"
        found.error(
            "backlog",
            actor.who,
            f"{actor.name} is removed with {waiting} in the backlog",
            expected="none waiting",
            got=waiting,
            where=f"workers in {workers}",
            fix=f"stop enqueueing them and let {workers} process them, or cancel them"
            " (rolehost jobs); then plan again",
        )


def _moved(found: Rules, actor: Actor) -> None:
    """The actor gets another queue, or becomes durable or ephemeral."""
    before, after = actor.before, actor.after
    found.drain(
        f"jobs of {actor.name} in the queue {before.queue}",
        actor.left,
        actor.senders_new,
        actor.new,
        f"the actor {actor.name} leaves the queue {before.queue}",
    )
    if before.queue != after.queue:
        what = f"{actor.name} moves from the queue {before.queue} to {after.queue}"
    else:
        what = f"{actor.name} becomes {'durable' if after.durable else 'ephemeral'}"
    if actor.left == 0:
        then = "; jobs that old processes enqueue meanwhile stay in the old queue"
    else:
        then = f", and no worker will take jobs that wait in {before.queue}"
    note, code = (found.error, "backlog") if actor.left else (found.warning, "queue-moved")
    note(
        code,
        actor.who,
        what + then,
        expected=f"no job of it in {before.queue}",
        got="an unknown number of jobs" if actor.left is None else count(actor.left, "job"),
        fix=f"let workers process them first, or use an actor with another name for {after.queue}",
    )


def _arguments(found: Rules, actor: Actor) -> None:
    """Compare the arguments: old jobs meet new workers, and new jobs meet old workers."""
    forwards = conflicts(actor.after.arguments, actor.before.arguments)
    backwards = conflicts(actor.before.arguments, actor.after.arguments)
    workers = sorted(actor.new)
    senders = sorted({*actor.senders_old, *actor.senders_new})
    apart = [sender for sender in senders if sender not in workers]
    at_once = [sender for sender in senders if sender in workers]
    if forwards and (backwards or at_once):
        _incompatible(found, actor, forwards, backwards)
    elif forwards:
        found.drain(
            f"jobs of {actor.name} in the old form",
            actor.left,
            apart,
            workers,
            f"the new workers of {actor.name} refuse what old processes enqueue:"
            f" {'; '.join(forwards)}",
        )
    elif backwards:
        why = f"its workers know the new arguments of {actor.name}"
        found.before(workers, apart, why)
        if at_once:
            _overlap(found, actor, at_once, backwards)
    elif _untyped(actor.before) != _untyped(actor.after):
        found.warning(
            "argument-types",
            actor.who,
            f"the argument types of {actor.name} have changed, and their schemas do not show"
            " whether they are compatible",
            fix="compare them; rolehost fleet plan --connect decodes queued jobs",
            **_signatures(actor),
        )


def _incompatible(
    found: Rules, actor: Actor, forwards: Sequence[str], backwards: Sequence[str]
) -> None:
    """No order of workers and senders lets workers decode every job."""
    what = f"new workers of {actor.name} refuse jobs of old processes: {'; '.join(forwards)}"
    if backwards:
        what += f"; and old workers refuse jobs of new processes: {'; '.join(backwards)}"
    rename = renamed(actor.before.arguments, actor.after.arguments)
    if rename:
        what += f"; {rename[0]} was renamed to {rename[1]}"
    found.error(
        "argument-incompatible",
        actor.who,
        what,
        fix="make two rollouts: first let the actor accept both forms (a new argument with a"
        " default), then remove the old form; or give the new form another name",
        **_signatures(actor),
    )


def _overlap(found: Rules, actor: Actor, at_once: Sequence[str], backwards: Sequence[str]) -> None:
    """If a deployment enqueues and runs the actor, new processes' jobs meet its old workers."""
    found.warning(
        "argument-overlap",
        actor.who,
        f"while {', '.join(at_once)} rolls out, its old workers refuse what its new"
        f" processes enqueue for {actor.name}: {'; '.join(backwards)}",
        fix="do not enqueue it before the rollout is over, or split enqueueing and running"
        " into two rollouts; refused jobs can be replayed (rolehost dead)",
        **_signatures(actor),
    )


def _signatures(actor: Actor) -> dict[str, str]:
    """Return workers and senders, the old signature, and the new signature."""
    senders = ", ".join(sorted({*actor.senders_old, *actor.senders_new}))
    return {
        "where": f"workers in {', '.join(sorted(actor.new))};"
        f" enqueued by {senders or 'no deployment'}",
        "expected": f"({signature(actor.before.types)}), or a compatible signature",
        "got": f"({signature(actor.after.types)})",
    }


def _untyped(entry: ActorEntry) -> dict[str, str]:
    """Return the types of arguments whose schema is only "string", so it compares nothing."""
    known = fields(entry.arguments)
    return {
        name: kind
        for name, kind in entry.types
        if known.get(name, {}).get("type") == "string" and "format" not in known[name]
    }
