"""The rules of limits: how many jobs a claim may take. Without I/O; times are microseconds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.api.limits import NO_LIMITS, Limits
from rolehost.errors import PayloadError
from rolehost.failures import describe

#: Microseconds for which a partition that is claimed again and again may keep its turn.
TURN_US = 10_000_000


class LimitTable:
    """The limits in force: those set at run time, else those of the deployment and the plugins.

    ``stored`` are the rows of ``rolehost_limits``: the limits set at run time (None for a limit
    whose jobs are only counted), by ``actor:NAME``, ``queue:NAME`` or ``partition:ACTOR/VALUE``.
    Any thread may replace the attribute.
    """

    def __init__(self, actors: Mapping[str, Actor]) -> None:
        self._actors = actors
        self._queues = {each.queue: each.queue_limits for each in actors.values()}
        # PERF: applies() is called for each new job.
        self._limited_actors = {
            name
            for name, each in actors.items()
            if each.partition is not None or each.partition_limits or each.limits
        }
        self._limited_queues = {name for name, limits in self._queues.items() if limits}
        self.stored: Mapping[str, Limits | None] = {}

    def declared(self) -> list[str]:
        """Return the names of the limits whose jobs must be counted."""
        actors = [f"actor:{name}" for name, actor in self._actors.items() if actor.limits]
        return actors + [f"queue:{name}" for name, limits in self._queues.items() if limits]

    def of_actor(self, name: str) -> Limits:
        """Return the limits of all jobs of an actor."""
        actor = self._actors.get(name)
        return self.stored.get(f"actor:{name}") or (actor.limits if actor else NO_LIMITS)

    def of_queue(self, name: str) -> Limits:
        """Return the limits of all jobs of a queue."""
        return self.stored.get(f"queue:{name}") or self._queues.get(name, NO_LIMITS)

    def of_key(self, actor: str, key: str) -> Limits:
        """Return the limits that were set for the jobs of a key; they run one by one anyway."""
        return self.stored.get(f"partition:{actor}/{key}") or NO_LIMITS

    def of_partition(self, actor: str, value: str) -> Limits:
        """Return the limits of one partition of an actor's jobs."""
        known = self._actors.get(actor)
        declared = known.partition_limits if known else NO_LIMITS
        return self.stored.get(f"partition:{actor}/{value}") or declared

    def applies(self, actor: str, queue: str) -> bool:
        """Return whether the jobs of an actor in a queue are claimed by partition."""
        if actor in self._limited_actors or queue in self._limited_queues:
            return True
        stored = self.stored
        return bool(stored and (stored.get(f"actor:{actor}") or stored.get(f"queue:{queue}")))


class Allowance:
    """The room that one limit leaves, while a claim is decided.

    The rate is enforced by the *generic cell rate algorithm* (GCRA, ITU-T I.371):
    ``next_at_us`` is the theoretical arrival time of the next job.
    """

    __slots__ = ("held", "limits", "next_at_us")

    def __init__(self, limits: Limits, held: int = 0, next_at_us: int = 0) -> None:
        self.limits = limits
        self.held = held
        self.next_at_us = next_at_us

    def settle(self, now_us: int) -> bool:
        """Bound the next arrival by the end of a full burst; return whether it was later.

        It is later if the rate was raised since, or the clock was set back.
        """
        if self.limits.rate is None:
            return False
        latest = now_us + math.ceil(self.limits.burst * 1_000_000 / self.limits.rate)
        is_later = self.next_at_us > latest
        self.next_at_us = min(self.next_at_us, latest)
        return is_later

    def room(self, now_us: int) -> float:
        """Return how many jobs may be claimed now; infinity without a limit."""
        limits = self.limits
        room = math.inf if limits.concurrency is None else limits.concurrency - self.held
        if limits.rate is not None:
            early = now_us - self._opens_at_us(now_us)
            room = min(room, early * limits.rate // 1_000_000 + 1 if early >= 0 else 0)
        return max(room, 0)

    def due_at_us(self, now_us: int) -> int | None:
        """Return when the rate admits the next job; None if it admits one now."""
        if self.limits.rate is None or self._opens_at_us(now_us) <= now_us:
            return None
        return self._opens_at_us(now_us)

    def take(self, count: int, now_us: int) -> None:
        """Count claimed jobs."""
        self.held += count
        if self.limits.rate is not None and count:
            # Rounded up, so that the rate is never exceeded.
            jobs = math.ceil(count * 1_000_000 / self.limits.rate)
            self.next_at_us = max(self.next_at_us, now_us) + jobs

    def _opens_at_us(self, now_us: int) -> int:
        """Return when the next job conforms: its theoretical arrival less the burst tolerance."""
        assert self.limits.rate is not None
        tolerance = math.floor((self.limits.burst - 1) * 1_000_000 / self.limits.rate)
        return max(self.next_at_us, now_us) - tolerance


class Partition(NamedTuple):
    """A row of ``rolehost_partitions``; see the migration that creates it."""

    id: int
    kind: str
    name: str
    queue: str
    actor: str
    open: int
    turn: int
    held: int = 0
    next_at_us: int = 0
    due_at_us: int | None = None

    def differs(self, stored: Partition | None) -> bool:
        """Return whether more than the turn differs from the stored row; None: it is unknown.

        A turn of more than :data:`TURN_US` later counts too.
        """
        if stored is None:
            return True
        kept = self._replace(turn=stored.turn) == stored
        return not kept or self.turn - stored.turn > TURN_US


class Name(NamedTuple):
    """The name of a partition: a job's ``key``, or an actor's ``partition`` in a queue."""

    kind: str
    value: str
    queue: str
    actor: str

    @property
    def id(self) -> int:
        """A hash of 63 bits. Partitions with the same hash would share limits, which is safe."""
        scope = () if self.kind == "key" else (self.queue, self.actor)
        text = "\0".join((self.kind, self.value, *scope))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1


def of_key(key: str, queue: str, actor: str) -> Name:
    """Return the partition of the jobs with a key, which may be in several queues."""
    return Name("key", key, queue, actor)


def of_partition(value: str | None, queue: str, actor: str) -> Name:
    """Return the partition of an actor's jobs; None: the jobs without a value."""
    return Name("partition", value or "", queue, actor)


class Candidates(NamedTuple):
    """Waiting jobs of one partition, in the order in which they may be claimed.

    ``jobs`` are pairs of id and actor. ``exhausted``: no others wait in the partition. ``after``:
    the held jobs are a run of this process, after which these jobs run.
    """

    partition: Partition
    jobs: Sequence[tuple[int, str]]
    exhausted: bool
    after: bool = False


class Share(NamedTuple):
    """What a claim takes of one partition, and the state of the partition after it."""

    partition: Partition
    jobs: Sequence[int]
    after: Allowance
    serial: bool
    open: bool
    due_at_us: int | None

    def served(self, now_us: int) -> Partition:
        """Return the partition after the claim."""
        return self.partition._replace(
            open=int(self.open),
            turn=now_us,
            held=self.after.held,
            next_at_us=self.after.next_at_us,
            due_at_us=self.due_at_us,
        )


def is_serial(partition: Partition, limits: Limits) -> bool:
    """Return whether the jobs of a partition run one after another."""
    return partition.kind == "key" or limits.concurrency == 1


def share(
    candidates: Candidates,
    limits: Limits,
    above: Mapping[str, Mapping[str, Allowance]],
    want: int,
    now_us: int,
) -> Share:
    """Decide what to take of one partition, and count it in the limits ``above`` it.

    ``above``: by actor, the limits of the actor and of the queue, by name; without an entry, the
    jobs of the actor cannot be claimed now. The jobs of a serial partition are taken as one run,
    which one process runs in order, and only if no job of the partition is claimed, except
    by the same process for a run before it.
    """
    partition = candidates.partition
    own = Allowance(limits, partition.held, partition.next_at_us)
    own.settle(now_us)
    serial = is_serial(partition, limits)
    taken: list[int] = []
    for number, actor in candidates.jobs[:want]:
        higher = above.get(actor)
        if higher is None or any(limit.room(now_us) < 1 for limit in higher.values()):
            break
        if partition.held and not candidates.after if serial else own.room(now_us) < 1:
            break
        if serial and own.due_at_us(now_us) is not None:
            break
        for limit in (own, *higher.values()):
            limit.take(1, now_us)
        taken.append(number)
    due = own.due_at_us(now_us)
    full = own.held > 0 if serial else own.room(now_us) < 1
    emptied = candidates.exhausted and len(taken) == len(candidates.jobs)
    is_open = not (full or emptied or due)
    return Share(partition, taken, own, serial, is_open, None if emptied else due)


def declared_partition(actor: Actor, arguments: Mapping[str, Any]) -> str | None:
    """Return the partition that an actor declares for these arguments; None if it declares none.

    Raises PayloadError if the result is not valid.
    """
    if actor.partition is None:
        return None
    try:
        if callable(actor.partition):
            value = actor.partition(**arguments)
        else:
            default = actor.arguments[actor.partition].default
            value = arguments.get(actor.partition, default)
            if isinstance(value, int | UUID) and not isinstance(value, bool):
                value = str(value)
        return values.text("partition", value)
    except Exception as error:  # the function belongs to a plugin
        raise PayloadError(f"the partition of actor {actor.name}: {describe(error)}") from None
