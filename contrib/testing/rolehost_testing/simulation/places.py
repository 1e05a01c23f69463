"""Check the limits of jobs by the committed states of the jobs, not by the host's counts.

Triggers record claims, their ends, and limits set at run time, in the transactions that make
them. A job has a *place* in each of its limits from its claim to its end.

- *limits*: no claim exceeds the concurrency or the rate of an actor, a queue or a partition. The
  jobs of a partition of concurrency 1 are claimed together or not at all; those of a key that are
  claimed at a time belong to one process and queue;
- *claims in order*: jobs of a key are claimed by id, and no job passes an unfinished one, except
  those that the same process has claimed;
- *fairness*: no partition with a job that may run is passed over more often than there are
  partitions;
- *places*: the host's counts agree with the claims after each commit, so they return to 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rolehost.api.actors import Actor
from rolehost.api.limits import NO_LIMITS, Limits

from rolehost_testing.simulation.world import SimulatedWorld

#: Milliseconds after which every process follows a limit that was changed at run time.
LATE = 1000

SCHEMA = """
CREATE TABLE simulation_claims (
    seq INTEGER PRIMARY KEY, tx INTEGER NOT NULL, at INTEGER NOT NULL, ended INTEGER NOT NULL,
    job INTEGER NOT NULL, token INTEGER, queue TEXT, actor TEXT, key TEXT, partition TEXT,
    partition_id INTEGER, owner TEXT
);
CREATE TRIGGER simulation_claim AFTER UPDATE OF state ON rolehost_jobs
WHEN NEW.state = 'claimed' AND OLD.state NOT IN ('claimed', 'running') BEGIN
    INSERT INTO simulation_claims (tx, at, ended, job, token, queue, actor, key, partition,
        partition_id, owner)
    VALUES (simulation_commit(), simulation_elapsed(), 0, NEW.id, NEW.token, NEW.queue, NEW.actor,
        NEW.key, NEW.partition, NEW.partition_id, NEW.owner);
END;
CREATE TRIGGER simulation_end AFTER UPDATE OF state ON rolehost_jobs
WHEN OLD.state IN ('claimed', 'running') AND NEW.state NOT IN ('claimed', 'running') BEGIN
    INSERT INTO simulation_claims (tx, at, ended, job)
    VALUES (simulation_commit(), simulation_elapsed(), 1, NEW.id);
END;
CREATE TABLE simulation_limits (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL, concurrency INTEGER,
    rate REAL, burst INTEGER
);
CREATE TRIGGER simulation_limit AFTER UPDATE OF concurrency, rate, burst ON rolehost_limits BEGIN
    INSERT INTO simulation_limits (at, name, concurrency, rate, burst)
    VALUES (simulation_elapsed(), NEW.name, NEW.concurrency, NEW.rate, NEW.burst);
END;
"""


class Claim(NamedTuple):
    """A claimed job."""

    job: int
    token: int
    queue: str
    actor: str
    key: str | None
    partition: str | None
    partition_id: int | None
    owner: str | None = None

    @property
    def holder(self) -> tuple[Any, ...]:
        """What is the same for all claimed jobs of a serial partition."""
        return (self.owner, self.queue) if self.key is not None else (self.token,)

    @property
    def part(self) -> str:
        """Name of its partition."""
        if self.key is not None:
            return f"key:{self.key}"
        return f"partition:{self.actor}/{self.partition or ''}"

    @property
    def names(self) -> tuple[str, str, str]:
        """Names of the limits that it counts in."""
        return self.part, f"actor:{self.actor}", f"queue:{self.queue}"


class Book:
    """The limits in force, and the claims that count in them, by name of the limit."""

    def __init__(self, declared: Mapping[str, Limits]) -> None:
        self._declared = declared
        self._stored: dict[str, Limits | None] = {}
        #: Limits that were replaced, with the time, by name.
        self._before: dict[str, list[tuple[int, Limits]]] = defaultdict(list)
        self.held: dict[str, dict[int, Claim]] = defaultdict(dict)
        #: Times of claims since the limit was changed.
        self.times: dict[str, list[int]] = defaultdict(list)
        self._last: dict[str, int] = {}

    def limits(self, name: str) -> Limits:
        """Return the limits that are in force now."""
        return self._stored.get(name) or self._declared.get(name.partition("/")[0], NO_LIMITS)

    def change(self, at: int, name: str, limits: Limits | None) -> None:
        """Record a limit that was set or reset at run time."""
        self._before[name].append((at, self.limits(name)))
        self._stored[name] = limits
        self.times[name].clear()

    def changed_lately(self, name: str, at: int) -> bool:
        """Return whether a process may not yet follow the limit."""
        before = self._before[name]
        return bool(before) and at - before[-1][0] < LATE

    def concurrency(self, name: str, at: int) -> set[int | None]:
        """Return the values that processes may follow: the present and the lately replaced ones."""
        found = {self.limits(name).concurrency}
        return found | {each.concurrency for when, each in self._before[name] if at - when < LATE}

    def is_serial(self, name: str) -> bool:
        """Return whether the jobs of a partition run one after another."""
        kind = name.partition(":")[0]
        return kind == "key" or (kind == "partition" and self.limits(name).concurrency == 1)

    def has_room(self, name: str, at: int) -> bool:
        """Return whether one more job may certainly be claimed."""
        held, limits = len(self.held[name]), self.limits(name)
        if self.is_serial(name):
            return not held and self._rate_admits(name, limits, at)
        room = limits.concurrency is None or held < limits.concurrency
        return room and self._rate_admits(name, limits, at)

    def _rate_admits(self, name: str, limits: Limits, at: int) -> bool:
        last = self._last.get(name)
        return limits.rate is None or last is None or at - last > 1000 / limits.rate

    def add(self, claim: Claim, at: int) -> str | None:
        """Add a claim; return the limit that it exceeds."""
        for name in claim.names:
            found = self._add(name, claim, at)
            if found is not None:
                return found
        return None

    def _add(self, name: str, claim: Claim, at: int) -> str | None:
        held = self.held[name]
        held[claim.job] = claim
        self._last[name] = at
        allowed = self.concurrency(name, at)
        if claim.partition_id is not None:
            # Other jobs may have been claimed by processes that did not follow the limit yet.
            held = {job: each for job, each in held.items() if each.partition_id is not None}
        most = None if None in allowed else max(each for each in allowed if each is not None)
        is_run = name == claim.part and (claim.key is not None or 1 in allowed)
        if is_run and (claim.key is not None or most == 1 or (most and len(held) > most)):
            if len({each.holder for each in held.values()}) > 1:
                return f"{name} has jobs of two holders: {sorted(held)}"
        elif most is not None and len(held) > most:
            return f"{name} has {len(held)} claimed jobs, its concurrency is {most}"
        return self._check_rate(name, at)

    def _check_rate(self, name: str, at: int) -> str | None:
        times, limits = self.times[name], self.limits(name)
        if self.changed_lately(name, at):
            times.clear()
            return None
        times.append(at)
        if limits.rate is None:
            return None
        for index, since in enumerate(times):
            count = len(times) - index
            # One millisecond is the resolution of the clock.
            if count > limits.burst + limits.rate * (at - since + 1) / 1000:
                return (
                    f"{name} has {count} claims in {at - since} ms, its rate is {limits.rate:g}/s"
                    f" with a burst of {limits.burst}"
                )
        return None


class Places:
    """The state of the checks for one world."""

    def __init__(self) -> None:
        self._declared: dict[str, Limits] = {}
        self.clear()

    def declare(self, actors: Iterable[Actor]) -> None:
        """Add the limits that actors declare."""
        for actor in actors:
            self._declared[f"actor:{actor.name}"] = actor.limits
            self._declared[f"queue:{actor.queue}"] = actor.queue_limits
            self._declared[f"partition:{actor.name}"] = actor.partition_limits

    def clear(self) -> None:
        """Reset the state for a new world."""
        self.book = Book(self._declared)
        self._claims: dict[int, Claim] = {}
        self._seq = self._limit_seq = 0
        #: Limits with claims that the host does not count, because it did not know the limit.
        self._uncounted: set[str] = set()
        self._turns = Turns(self.book)

    def check(self, world: SimulatedWorld) -> str | None:
        """Read what was committed since the last call; return the first violation."""
        for seq, at, name, concurrency, rate, burst in world.rows(
            "SELECT seq, at, name, concurrency, rate, burst FROM simulation_limits WHERE seq > ?",
            (self._limit_seq,),
        ):
            self._limit_seq = seq
            is_set = concurrency is not None or rate is not None
            limits = Limits(concurrency=concurrency, rate=rate, burst=burst or 1)
            self.book.change(at, name, limits if is_set else None)
        rows = world.rows(
            "SELECT seq, tx, at, ended, job, token, queue, actor, key, partition, partition_id,"
            " owner FROM simulation_claims WHERE seq > ? ORDER BY seq",
            (self._seq,),
        )
        for number in dict.fromkeys(row[1] for row in rows):
            found = self._transaction(world, [row for row in rows if row[1] == number])
            if found is not None:
                return found
        if rows:
            self._seq = rows[-1][0]
        return next(self.miscounted(world), None)

    def _transaction(self, world: SimulatedWorld, rows: Iterable[tuple[Any, ...]]) -> str | None:
        """Apply the claims and ends of one transaction."""
        taken: dict[int, tuple[Claim, int]] = {}
        for _, _, at, ended, *columns in rows:
            claim = Claim(*columns)
            if not ended:
                taken[claim.job] = claim, at
            elif claim.job in taken:
                del taken[claim.job]  # moved to its partition, and never claimed
            else:
                self._release(claim.job)
        for claim, at in taken.values():
            self._claims[claim.job] = claim
            if claim.partition_id is None:
                self._uncounted.update(claim.names[1:])
            found = self.book.add(claim, at)
            if found is not None:
                return f"limits: {found} (job {claim.job})"
        claims = [claim for claim, _ in taken.values()]
        return self._passed_by(world, claims) or self._turns.check(world, claims)

    def _release(self, job: int) -> None:
        claim = self._claims.pop(job, None)
        if claim is not None:
            for name in claim.names:
                self.book.held[name].pop(job, None)

    def _passed_by(self, world: SimulatedWorld, claims: Iterable[Claim]) -> str | None:
        """Return an unfinished job of a key that later jobs have passed."""
        last = {each.key: each.job for each in claims if each.key is not None}
        for key, job in last.items():
            for (number,) in world.rows(
                "SELECT id FROM rolehost_jobs WHERE key = ? AND id < ? AND state IN"
                " ('available', 'scheduled', 'claimed', 'running', 'retrying')",
                (key, job),
            ):
                if (
                    number not in self._claims
                    or self._claims[number].holder != self._claims[job].holder
                ):
                    return f"claims in order: job {job} of {key} was claimed before job {number}"
        return None

    def miscounted(self, world: SimulatedWorld) -> Iterator[str]:
        """Yield partitions and limits whose count is not the number of claims."""
        freed: Counter[int | str] = Counter()
        for number, queue, actor, count in world.rows(
            "SELECT partition_id, queue, actor, freed FROM rolehost_partition_changes"
            " WHERE freed > 0"
        ):
            for each in (number, f"actor:{actor}", f"queue:{queue}"):
                freed[each] += count
        claims = self._claims.values()
        held = Counter(each.partition_id for each in claims)
        for number, name, count in world.rows("SELECT id, name, held FROM rolehost_partitions"):
            if count - freed[number] != held[number]:
                yield _places(f"partition {name}", count, freed[number], held[number])
        counted = Counter(
            name for each in claims if each.partition_id is not None for name in each.names
        )
        loose = {name for each in claims if each.partition_id is None for name in each.names}
        for name, count in world.rows("SELECT name, held FROM rolehost_limits"):
            if name.startswith("partition:"):
                continue
            left = count - freed[name] - counted[name]
            if left == 0 and name not in loose:
                self._uncounted.discard(name)
            elif left < 0 or (left > 0 and name not in self._uncounted):
                yield _places(name, count, freed[name], counted[name])

    def waiting_with_room(self, world: SimulatedWorld) -> set[int]:
        """Return the available jobs that may certainly be claimed now."""
        found, at = set(), world.clock.elapsed
        first: set[str] = set()
        for row in world.rows(
            "SELECT id, 0, queue, actor, key, partition, partition_id, state FROM rolehost_jobs"
            " WHERE state IN ('available', 'scheduled', 'claimed', 'running', 'retrying')"
            " ORDER BY id"
        ):
            job = Claim(*row[:-1])
            behind = job.key is not None and job.part in first
            first.add(job.part)
            room = all(self.book.has_room(name, at) for name in job.names)
            if row[-1] == "available" and room and not behind:
                found.add(job.job)
        return found


class Turns:
    """How often each partition with a job that may run was passed over."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._passed: Counter[str] = Counter()
        self._parts: dict[tuple[str, str], set[str]] = defaultdict(set)

    def check(self, world: SimulatedWorld, claims: Iterable[Claim]) -> str | None:
        """Count the partitions that the claims of one transaction pass over."""
        taken = {each.part: (each.queue, each.actor) for each in claims if each.partition_id}
        if world.clock.is_behind:
            self._passed.clear()
        if not taken:
            return None
        for part, place in taken.items():
            self._parts[place].add(part)
            self._passed.pop(part, None)
        served, waiting = set(taken.values()), set()
        for job in self._heads(world):
            if (job.queue, job.actor) in served and job.part not in taken:
                self._parts[job.queue, job.actor].add(job.part)
                if self._may_run(job, world.clock.elapsed):
                    waiting.add(job.part)
                    self._passed[job.part] += 1
                    if self._passed[job.part] > len(self._parts[job.queue, job.actor]) + 1:
                        return (
                            f"fairness: {job.part} was passed over {self._passed[job.part]} times"
                        )
        for part in set(self._passed) - waiting:
            del self._passed[part]
        return None

    def _heads(self, world: SimulatedWorld) -> Iterator[Claim]:
        """Yield one available job of each partition; for a key, its first job."""
        for *row, state in world.rows(
            "SELECT min(id), 0, queue, actor, key, partition, partition_id, state"
            " FROM rolehost_jobs WHERE partition_id IS NOT NULL"
            " AND (state = 'available' OR (key IS NOT NULL"
            " AND state IN ('scheduled', 'claimed', 'running', 'retrying')))"
            " GROUP BY partition_id"
        ):
            if state == "available":
                yield Claim(*row)

    def _may_run(self, job: Claim, at: int) -> bool:
        name = job.part
        if self._book.limits(name).rate is not None or self._book.changed_lately(name, at):
            return False
        return self._book.has_room(name, at)


def _places(name: str, count: int, freed: int, claims: int) -> str:
    return f"places: {name} counts {count}, {freed} of them free, but has {claims} claimed jobs"
