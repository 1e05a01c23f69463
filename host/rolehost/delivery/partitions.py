"""Claims of limited jobs, by partition.

Only a claimer, with the row locked, writes a partition or the counters of a limit. It passes over
rows that another claimer has locked. All other transactions append *changes*
(:mod:`rolehost.delivery.changes`): when they enqueue to a partition, and when they end a claim. So
a place is freed late and never early, enqueueing locks nothing, and the host's statements cannot
deadlock each other.

An *open* partition may have jobs to claim. Open partitions are served in turn (*round robin*), so
the cost of a claim depends neither on the number of waiting jobs nor on the number of partitions. A
partition that is found empty or full is closed. A change opens it again, and so does the time when
its rate admits the next job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from types import MappingProxyType
from typing import Any, NamedTuple

from rolehost.api.limits import Limits
from rolehost.delivery.changes import Change, Changes
from rolehost.delivery.limits import (
    Allowance,
    Candidates,
    LimitTable,
    Partition,
    Share,
    is_serial,
    share,
)
from rolehost.delivery.runs import KeyRun
from rolehost.delivery.scans import ScanStart
from rolehost.delivery.statements import array, marks
from rolehost.delivery.waiting import WaitingJob, WaitingJobs
from rolehost.storage import Database, Transaction

#: Most partitions that one claim looks at.
_PARTITIONS = 128
#: How often one claim looks for other partitions, if those that it found have too few jobs. An open
#: partition may be empty, because the end of a job opens its partition in any case.
_ROUNDS = 8
#: Jobs of a partition that one claim takes while others wait for their turn. Fewer would make turns
#: finer, and each job more expensive.
_TURN = 8

_COLUMNS = ", ".join(Partition._fields)

_STORE = (
    "UPDATE rolehost_partitions SET open = ?, turn = ?, held = ?, next_at_us = ?, due_at_us = ?"
    " WHERE id = ?"
)
#: Like _STORE, for many rows: an array of each column. PostgreSQL cannot see how many rows these
#: are, so its planner never prefers a scan of the table to its index.
_STORE_MANY = (
    "UPDATE rolehost_partitions SET open = new.open, turn = new.turn, held = new.held,"
    " next_at_us = new.next_at_us, due_at_us = new.due_at_us FROM unnest("
    + ", ".join(
        f"(SELECT CAST(? AS {kind}[]))"
        for kind in ("INT", "BIGINT", "INT", "BIGINT", "BIGINT", "BIGINT")
    )
    + ") AS new (open, turn, held, next_at_us, due_at_us, number) WHERE id = new.number"
)

_ADD = f"INSERT INTO rolehost_partitions ({_COLUMNS}) VALUES ({marks(Partition._fields)})"

#: Open partitions of one actor, sorted by the time of their last turn.
_OPEN = (
    f"SELECT {_COLUMNS} FROM rolehost_partitions WHERE actor = {{actor}} AND turn >= {{turn}}"
    " AND queue = ? AND open = 1 ORDER BY turn LIMIT ?"
)

#: The default of ``ahead``: no key has a run after which its next jobs run.
NONE_AHEAD: Mapping[int, KeyRun] = MappingProxyType({})

#: The limits above a partition, by actor: each limit with its name.
Above = dict[str, dict[str, Allowance]]


class _Portion(NamedTuple):
    """What a claim takes: ``want`` runs, ``each`` jobs of a partition, ``run`` jobs of a key."""

    want: int
    each: int
    run: int


class Partitions:
    """The statements on partitions, for one queue and the actors that this process runs."""

    def __init__(
        self,
        database: Database,
        limits: LimitTable,
        queue: str,
        actors: Sequence[str],
        clock: Callable[[], int],
        *,
        one_by_one: bool = False,
    ) -> None:
        self._limits = limits
        #: Whether a claim takes one job of a key, or of a partition of concurrency 1.
        self._one_by_one = one_by_one
        self._queue = queue
        self._actors = actors
        self._postgres = database.dialect == "postgresql"
        self._skip = " FOR UPDATE SKIP LOCKED" if self._postgres else ""
        self._changes = Changes(database, queue, clock)
        self._waiting = WaitingJobs(database)
        self._due_us: int | None = None
        self._depth = 1.0  # a running mean of the runs that a claim takes of a partition
        self._database = database
        self._turns = {actor: ScanStart(0, clock) for actor in actors}
        self._may_find = (
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM rolehost_partition_changes WHERE id >= ?)"
            " OR EXISTS (SELECT 1 FROM rolehost_partitions WHERE due_at_us BETWEEN ? AND ?)"
            " OR EXISTS (SELECT 1 FROM rolehost_partitions WHERE queue = ? AND open = 1"
            f" AND actor IN ({marks(actors)}) AND turn >= ?)"
        )

    def claim(
        self,
        tx: Transaction,
        want: int,
        now: int,
        longest: int = 0,
        own: Sequence[Change] = (),
        ahead: Mapping[int, KeyRun] = NONE_AHEAD,
    ) -> list[Share]:
        """Choose up to ``want`` runs, lock their rows and count them; the caller claims them.

        A run is one job, or several jobs of a key: its part of ``want`` or, if that is larger, of
        ``longest``. Each share has the jobs of one partition, in the order in which they run.
        ``now`` is in milliseconds. ``own`` are changes that this transaction makes. ``ahead``:
        partition of a key → the run of this process after which the claimed jobs run.
        """
        changed = self._changes.apply(tx, now, want, own)
        self._changes.lock(tx, ahead, changed)
        now_us = now * 1000
        above = self._settle_limits(tx, now_us)
        shares: list[Share] = []
        seen: set[int] = set()
        for _ in range(_ROUNDS):
            most = min(math.ceil(want / self._depth), _PARTITIONS)
            found = self._lock_open(tx, _ready(above, now_us), changed, most)
            # The caller has not claimed the jobs of the last round yet.
            looked = {each.id: each for each in found if each.id not in seen}
            looked |= {number: changed[number] for number in ahead if number in changed}
            partitions = [*looked.values()]
            seen |= looked.keys()
            stored = self._changes.stored | {k: v for k, v in looked.items() if k not in changed}
            portion = self._portion(partitions, want, longest, most, now_us)
            candidates = self._candidates(tx, partitions, portion, ahead)
            served = self._share(candidates, above, portion, now_us)
            changed |= {each.partition.id: each.served(now_us) for each in served}
            shares += served
            want -= _runs(served)
            # PERF: an end and a claim often leave a partition as it was, except for its turn, which
            # matters only if another partition waits for its turn.
            turns = want <= 0 or len(served) < len(partitions) or len(found) == most
            self._store(tx, changed.values(), stored, turns=turns)
            changed = {}
            # Partitions without a job are closed now, and partitions with jobs may follow them.
            if want <= 0 or len(found) < most or not partitions:
                break
        if shares:
            self._measure_depth(shares)
            self._store_limits(tx, above)
        return shares

    def _measure_depth(self, shares: Sequence[Share]) -> None:
        depth = (self._depth + _runs(shares) / len(shares)) / 2
        self._depth = min(max(depth, 1.0), _TURN)

    def _settle_limits(self, tx: Transaction, now_us: int) -> Above:
        """Lock the limits of the queue and the actors; note when a rate admits the next job."""
        above = self._lock_limits(tx)
        allowances = [limit for named in above.values() for limit in named.values()]
        if [limit for limit in allowances if limit.settle(now_us)]:
            self._store_limits(tx, above)
        due = [limit.due_at_us(now_us) for limit in allowances]
        self._due_us = min((at for at in due if at is not None), default=None)
        return above

    def _portion(
        self, partitions: Sequence[Partition], want: int, longest: int, most: int, now_us: int
    ) -> _Portion:
        """Return how many jobs to take of each partition."""
        if not partitions:
            return _Portion(want, 0, 0)
        each = math.ceil(want / len(partitions))
        run = max(each, longest // len(partitions))
        if len(partitions) == most:
            # Other partitions follow, so the last ones of these may keep their turn.
            each = max(each, _TURN)
        room = max(
            Allowance(self._limits_of(each), each.held, each.next_at_us).room(now_us)
            for each in partitions
        )
        # At least one is read, to see whether a full partition is empty too.
        return _Portion(want, int(min(each, max(room, 1))), run)

    def _share(
        self,
        found: Sequence[Candidates],
        above: Above,
        portion: _Portion,
        now_us: int,
    ) -> list[Share]:
        """Decide what to take of each partition, and count it in the limits ``above`` them.

        Partitions after the last wanted job, and those of a full limit, keep their turn.
        """
        want, each, run = portion
        shares: list[Share] = []
        for candidates in found:
            partition = candidates.partition
            if want <= 0 or partition.actor not in _ready(above, now_us):
                continue
            limits = self._limits_of(partition)
            most = run if partition.kind == "key" else min(each, want)
            if self._one_by_one and is_serial(partition, limits):
                most = 1
            shares.append(share(candidates, limits, above, most, now_us))
            want -= _runs(shares[-1:])
        return shares

    def _limits_of(self, partition: Partition) -> Limits:
        if partition.kind == "key":
            return self._limits.of_key(partition.actor, partition.name)
        return self._limits.of_partition(partition.actor, partition.name)

    @property
    def missed(self) -> bool:
        """Whether the last claim left changes: too many, or locked by another process."""
        return self._changes.missed

    def may_find_jobs(self, now: int) -> bool:
        """Return whether a claim may find jobs; takes no write lock."""
        if self._due_us is not None and self._due_us <= now * 1000:
            self._due_us = None  # the claim computes the next one
            return True
        changes, due, turns = self._changes.start, self._changes.due_start, self._turns.values()
        first, first_due, *first_turns = [each.begin() for each in (changes, due, *turns)]
        found = self._database.read(
            self._may_find,
            (first, first_due, now * 1000, self._queue, *self._actors, min(first_turns)),
        )
        for each in (changes, due, *turns):
            each.end(None)
        return bool(found)

    def next_due(self) -> int | None:
        """Return when a rate admits the next job, milliseconds; None if none waits for a rate."""
        rows = self._database.read(
            "SELECT min(due_at_us) FROM rolehost_partitions WHERE due_at_us >= ?",
            (self._changes.due_start.position,),
        )
        due = [at for at in (rows[0][0], self._due_us) if at is not None]
        return -(-min(due) // 1000) if due else None

    def _lock_limits(self, tx: Transaction) -> Above:
        """Lock the limits of the queue and the actors; leave out actors whose limits others lock.

        The jobs of every stored limit are counted, even if this process knows no number for it.
        """
        queue = f"queue:{self._queue}"
        limits = {queue: self._limits.of_queue(self._queue)}
        limits |= {f"actor:{actor}": self._limits.of_actor(actor) for actor in self._actors}
        sql = f"SELECT name, held, next_at_us FROM rolehost_limits WHERE name IN ({marks(limits)})"
        rows = tx.execute(sql + self._skip, tuple(limits)) if self._changes.counts else ()
        found = {name: Allowance(limits[name], held, next_at) for name, held, next_at in rows}
        # If a limit was just set for the first time, its jobs count now; its number is read later.
        stored = found.keys() | self._limits.stored.keys()
        above: Above = {}
        for actor in self._actors:
            names = [name for name in (queue, f"actor:{actor}") if name in stored or limits[name]]
            if all(name in found for name in names):
                above[actor] = {name: found[name] for name in names}
        return above

    def _lock_open(
        self,
        tx: Transaction,
        actors: Sequence[str],
        changed: Mapping[int, Partition],
        most: int,
    ) -> list[Partition]:
        """Lock the open partitions of these actors that were not served for the longest time.

        The state of ``changed`` partitions is not stored yet.
        """
        turns = {actor: self._turns[actor].begin() for actor in actors}
        stored = [Partition(*row) for row in self._read_open(tx, turns, most)]
        found = [each for each in stored if each.id not in changed]
        found += [
            each
            for each in changed.values()
            if each.open and each.queue == self._queue and each.actor in turns
        ]
        found.sort(key=lambda partition: partition.turn)
        for actor in actors:
            first = next((each.turn for each in found if each.actor == actor), None)
            self._turns[actor].end(first)
        return found[:most]

    def _read_open(
        self, tx: Transaction, turns: Mapping[str, int], most: int
    ) -> Iterator[Sequence[Any]]:
        """Lock and return up to ``most`` open partitions of each actor, from its turn on."""
        if self._postgres and turns:
            # PERF: one statement for all actors. LATERAL reads the partitions of each by index.
            yield from tx.execute(
                "SELECT p.* FROM unnest(CAST(? AS TEXT[]), CAST(? AS BIGINT[])) AS a (name, first)"
                f" CROSS JOIN LATERAL ({_OPEN.format(actor='a.name', turn='a.first')}"
                " FOR UPDATE SKIP LOCKED) AS p",
                (list(turns), list(turns.values()), self._queue, most),
            )
            return
        for actor, turn in turns.items():
            sql = _OPEN.format(actor="?", turn="?")
            yield from tx.execute(sql, (actor, turn, self._queue, most)).fetchall()

    def _candidates(
        self,
        tx: Transaction,
        partitions: Sequence[Partition],
        portion: _Portion,
        ahead: Mapping[int, KeyRun],
    ) -> list[Candidates]:
        """Read the waiting jobs of each partition, and lock their rows."""
        if not partitions:
            return []
        _, each, run = portion
        tokens = {job.token for job, *_ in ahead.values()}
        last = {before[-1].id for before in ahead.values()}
        if last:
            # While that job is held, no other process can hold a job of the key.
            last = self._waiting.held(tx, last, tokens)
        keys = [partition.name for partition in partitions if partition.kind == "key"]
        others = [partition.id for partition in partitions if partition.kind != "key"]
        of_keys = self._waiting.of_keys(tx, keys, run, tokens)
        of_others = self._waiting.of_partitions(tx, others, each)
        # A partition with fewer jobs may have others, which another transaction has locked.
        few = [number for number in others if len(of_others.get(number, ())) < each]
        waiting = self._waiting.of_partitions(tx, few if self._postgres else [], each, lock=False)
        locked = self._waiting.lock(tx, [job.id for job in chain(*of_keys.values())])
        result = []
        for partition in partitions:
            if partition.kind == "key":
                rows = of_keys.get(partition.name, [])
                key = self._candidates_of_key(partition, rows, locked, run)
                before = ahead.get(partition.id)
                result.append(key._replace(after=before is not None and before[-1].id in last))
                continue
            rows = of_others.get(partition.id, [])
            jobs = [(row.id, row.actor) for row in rows]
            exhausted = len(rows) < each and len(rows) >= len(waiting.get(partition.id, ()))
            result.append(Candidates(partition, jobs, exhausted))
        return result

    def _candidates_of_key(
        self, partition: Partition, rows: Sequence[WaitingJob], locked: Collection[int], most: int
    ) -> Candidates:
        """Return the first jobs of a key that this claim may take: none passes an older one."""
        jobs = [
            (row.id, row.actor)
            for row in takewhile(
                lambda row: (
                    row.state == "available" and row.id in locked and row.queue == self._queue
                ),
                rows,
            )
        ]
        exhausted = len(rows) < most and len(jobs) == len(rows)
        # A key waits for a change if its oldest job cannot run yet, or is claimed.
        waits = bool(rows) and rows[0].state != "available"
        return Candidates(partition, jobs, exhausted or waits)

    def _store(
        self,
        tx: Transaction,
        partitions: Iterable[Partition],
        stored: Mapping[int, Partition],
        *,
        turns: bool,
    ) -> None:
        """Write the partitions that are not as ``stored``; a turn alone only if ``turns``."""
        added, changed = [], []
        for each in partitions:
            before = stored.get(each.id)
            if before is None:
                added.append(each)
            elif each.differs(before) or (turns and each != before):
                changed.append(each)
        # PERF: a new row is inserted as the claim leaves it, so it needs no update.
        tx.executemany(_ADD, added)
        self._update(tx, changed)

    def _update(self, tx: Transaction, partitions: Collection[Partition]) -> None:
        rows = [
            (each.open, each.turn, each.held, each.next_at_us, each.due_at_us, each.id)
            for each in partitions
        ]
        if self._postgres and rows:
            tx.execute(_STORE_MANY, [array(column) for column in zip(*rows, strict=True)])
        else:
            tx.executemany(_STORE, rows)
        # The first job of a key may be in another queue than the last one.
        tx.executemany(
            "UPDATE rolehost_partitions SET queue = ?, actor = ? WHERE id = ?",
            [(each.queue, each.actor, each.id) for each in partitions if each.kind == "key"],
        )

    def _store_limits(self, tx: Transaction, above: Above) -> None:
        limits = {name: limit for named in above.values() for name, limit in named.items()}
        tx.executemany(
            "UPDATE rolehost_limits SET held = ?, next_at_us = ? WHERE name = ?",
            [(limit.held, limit.next_at_us, name) for name, limit in limits.items()],
        )


def _ready(above: Above, now_us: int) -> list[str]:
    """Return the actors whose limits have room."""
    return [
        actor
        for actor, limits in above.items()
        if all(limit.room(now_us) >= 1 for limit in limits.values())
    ]


def _runs(shares: Sequence[Share]) -> int:
    """Return how many runs the shares are: one of a key, and one for each other job."""
    return sum(
        bool(each.jobs) if each.partition.kind == "key" else len(each.jobs) for each in shares
    )
