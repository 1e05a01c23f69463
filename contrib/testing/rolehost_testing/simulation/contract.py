"""Check the invariants of the delivery contract in the database.

The simulated database has additional tables and triggers. They record each commit in the same
transaction, so a crash cannot happen between an effect and its record.

- *effects once*: a job, and an event per group, has at most one committed successful call;
- *effects in order*: the effects of one key are committed in the order of publication or of
  enqueueing;
- *nothing lost*: at the end, every event committed to the outbox and every committed job was
  handled or is a dead letter, and no event stays parked; a job is completed only if its actor
  returned;
- *leases exclusive*: no process takes a lease or a job before the owner's lease expires, unless the
  clock was set back meanwhile, and no process commits a job that another process has claimed;
- *limits*, *claims in order*, *fairness*, *places*: see :mod:`~rolehost_testing.simulation.places`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.handlers import Handler
from rolehost.api.retries import Complete, Outcome
from rolehost.composition.model import Composition
from rolehost.delivery import envelope
from rolehost.delivery.outbox import decode_headers
from rolehost.delivery.scopes import Scope, current_scope
from rolehost.storage import Record

from rolehost_testing.memory.database import MemoryDatabase
from rolehost_testing.simulation import places
from rolehost_testing.simulation.clock import SimulatedClock
from rolehost_testing.simulation.places import Claim, Places
from rolehost_testing.simulation.world import SimulatedWorld

_SCHEMA = """
CREATE TABLE simulation_violations (text TEXT NOT NULL);
CREATE TABLE simulation_events (
    seq INTEGER PRIMARY KEY, identity TEXT, topic TEXT NOT NULL, key BLOB
);
CREATE INDEX simulation_events_identity ON simulation_events (identity);
CREATE TABLE simulation_effects (
    kind TEXT NOT NULL, identity TEXT NOT NULL, place TEXT NOT NULL, key BLOB, seq INTEGER,
    times INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (kind, place, identity)
) WITHOUT ROWID;
CREATE INDEX simulation_effects_key ON simulation_effects (kind, place, key, seq);
CREATE TRIGGER simulation_twice AFTER UPDATE OF times ON simulation_effects BEGIN
    INSERT INTO simulation_violations VALUES (
        'effects once: ' || NEW.kind || ' ' || NEW.identity || ' has had its effects '
        || NEW.times || ' times (' || NEW.place || ')');
END;
CREATE TRIGGER simulation_published AFTER INSERT ON rolehost_outbox BEGIN
    INSERT INTO simulation_events (identity, topic, key)
    VALUES (simulation_identity(NEW.headers, NEW.value), NEW.topic, NEW.key);
END;
CREATE TRIGGER simulation_deleted AFTER DELETE ON rolehost_jobs
WHEN OLD.state IN ('available', 'scheduled', 'claimed', 'running', 'retrying') BEGIN
    INSERT INTO simulation_violations VALUES (
        'nothing lost: job ' || OLD.id || ' was deleted while ' || OLD.state);
END;
CREATE TRIGGER simulation_lease AFTER UPDATE OF owner ON rolehost_leases
WHEN OLD.owner <> '' AND OLD.owner <> NEW.owner AND OLD.expires_at >= simulation_now()
AND NOT simulation_behind() BEGIN
    INSERT INTO simulation_violations VALUES (
        'leases exclusive: ' || NEW.name || ' was taken from ' || OLD.owner || ' by '
        || NEW.owner || ' before it had expired');
END;
CREATE TRIGGER simulation_claimed AFTER UPDATE OF owner ON rolehost_jobs
WHEN OLD.state IN ('claimed', 'running') AND NEW.state IN ('claimed', 'running')
AND OLD.owner <> NEW.owner BEGIN
    INSERT INTO simulation_violations VALUES (
        'leases exclusive: job ' || OLD.id || ' of ' || OLD.owner || ' was claimed by '
        || NEW.owner);
END;
CREATE TRIGGER simulation_released AFTER UPDATE OF owner ON rolehost_jobs
WHEN OLD.state IN ('claimed', 'running') AND NEW.owner IS NULL AND NEW.suspect = 1
AND NEW.state = 'available' AND NOT simulation_behind() AND EXISTS (SELECT 1 FROM rolehost_processes
    WHERE id = OLD.owner AND expires_at >= simulation_now()) AND OLD.suspect = 0 BEGIN
    INSERT INTO simulation_violations VALUES (
        'leases exclusive: job ' || OLD.id || ' was taken from ' || OLD.owner
        || ' before its lease had expired');
END;
CREATE TABLE simulation_replayed (job INTEGER PRIMARY KEY);
CREATE TRIGGER simulation_replay AFTER UPDATE OF state ON rolehost_jobs
WHEN OLD.state IN ('dead', 'cancelled', 'completed') AND NEW.state = 'available' BEGIN
    INSERT OR IGNORE INTO simulation_replayed VALUES (NEW.id);
END;
"""


class Contract:
    """The state of the contract checks for one world."""

    def __init__(self, *, grouped: bool = False) -> None:
        self._grouped = grouped
        #: Jobs with an attempt that returned. The second set has those with an attempt without a
        #: unit of work, which therefore has no effects to check.
        self.returned: set[int] = set()
        self.bare: set[int] = set()
        #: Groups and events for which a call of the handler returned.
        self.handled: set[tuple[str, str]] = set()
        self.places = Places()
        #: Running calls of jobs of a serial partition, by the name of the partition.
        self._running: dict[str, list[Any]] = {}
        self._overlap: str | None = None

    def clear(self) -> None:
        """Reset the state for a new world."""
        for known in (self.returned, self.bare, self.handled):
            known.clear()
        self.places.clear()
        self._running.clear()
        self._overlap = None

    def watch(self, composition: Composition) -> Composition:
        """Return a composition whose actors and handlers record their effects."""
        actors = {
            name: dataclasses.replace(owned, value=self._actor(owned.value))
            for name, owned in composition.actors.items()
        }
        self.places.declare(each.value for each in actors.values())
        handlers = tuple(
            dataclasses.replace(owned, value=self._handler(owned.value))
            for owned in composition.handlers
        )
        return dataclasses.replace(composition, actors=MappingProxyType(actors), handlers=handlers)

    def _actor(self, actor: Actor) -> Actor:
        if not actor.durable:
            return actor

        @functools.wraps(actor.fn)
        def call(job: Any, **arguments: Any) -> Any:
            with self._in_order(job):
                outcome = actor.fn(job, **arguments)
                if outcome is None:
                    self._returned(job)
                return outcome

        @functools.wraps(actor.fn)
        async def call_async(job: Any, **arguments: Any) -> Any:
            # Reading the database needs a thread.
            running = await job.services.run(self._begin, job)
            try:
                outcome = await actor.fn(job, **arguments)
            finally:
                running.remove(job)
            return Complete(self._complete, job, outcome)

        fn = call_async if actor.is_async else call
        return dataclasses.replace(actor, fn=fn, grouped=self._grouped or actor.grouped)

    def _complete(self, job: Any, outcome: Outcome) -> Outcome:
        """Record the effects of an asynchronous actor, in the job's unit of work."""
        with self._in_order(job):
            if isinstance(outcome, Complete):
                outcome = outcome.function(*outcome.args, **outcome.kwargs)
            if outcome is None:
                self._returned(job)
            return outcome

    @contextmanager
    def _in_order(self, job: Any) -> Iterator[None]:
        """Check that only one job of a serial partition (see :class:`Book`) runs at a time."""
        running = self._begin(job)
        try:
            yield
        finally:
            running.remove(job)

    def _begin(self, job: Any) -> list[Any]:
        """Add a running call; return the running calls of its serial partition.

        Only jobs whose claims are valid count.
        """
        row = job._row
        part = Claim(row.id, row.token, row.queue, row.actor, row.key, row.partition, None).part
        if not self.places.book.is_serial(part):
            return [job]
        running = self._running.setdefault(part, [])
        for other in running:
            if _is_held(other) and _is_held(job):
                self._overlap = f"limits: jobs {other.id} and {job.id} of {part} run side by side"
        running.append(job)
        return running

    def _returned(self, job: Any) -> None:
        self.returned.add(job.id)
        scope = current_scope()
        if scope is None or scope.work is None:
            self.bare.add(job.id)
            return
        row = job._row
        execute = scope.work.transaction.execute
        found = execute("SELECT token FROM rolehost_jobs WHERE id = ?", (job.id,)).fetchone()
        if found is None or found[0] != row.token:
            _violated(scope, f"leases exclusive: job {job.id} committed under another's claim")
        # A key orders jobs over all queues.
        place = row.queue if row.key is None else "keys"
        _effect(scope, "job", str(job.id), place, row.key, row.id)

    def _handler(self, handler: Handler) -> Handler:
        @functools.wraps(handler.fn)
        def call(context: Any, given: Any) -> Any:
            result = handler.fn(context, given)
            for event in given if handler.batch > 1 else (given,):
                self._done(handler, f"{event.source} {event.id}", event.key)
            return result

        grouped = handler.grouped or (self._grouped and handler.batch == 1)
        return dataclasses.replace(handler, fn=call, grouped=grouped)

    def _done(self, handler: Handler, identity: str, key: str | None) -> None:
        self.handled.add((handler.group, identity))
        scope = current_scope()
        if scope is None or scope.work is None:
            return
        found = scope.work.transaction.execute(
            "SELECT min(seq) FROM simulation_events WHERE identity = ?", (identity,)
        ).fetchone()
        place = f"{handler.group} {handler.topic}"
        _effect(scope, "event", identity, place, key, found[0])


def _is_held(job: Any) -> bool:
    """Return whether the claim of an attempt is valid."""
    row, database = job._row, job._runtime.database
    with database.session():
        sql = "SELECT 1 FROM rolehost_jobs WHERE id = ? AND token = ? AND owner IS NOT NULL"
        return bool(database.read(sql, (row.id, row.token)))


def _violated(scope: Scope, text: str) -> None:
    assert scope.work is not None  # the callers check it
    scope.work.transaction.execute("INSERT INTO simulation_violations VALUES (?)", (text,))


def _effect(
    scope: Scope, kind: str, identity: str, place: str, key: str | None, seq: int | None
) -> None:
    """Record in the current transaction that it has the effects of this job or event."""
    assert scope.work is not None  # the callers check it
    execute = scope.work.transaction.execute
    if key is not None and seq is not None:
        later = execute(
            "SELECT identity FROM simulation_effects"
            " WHERE kind = ? AND place = ? AND key = ? AND seq > ? LIMIT 1",
            (kind, place, key, seq),
        ).fetchone()
        if later is not None and not _is_replayed(execute, kind, identity):
            _violated(scope, f"effects in order: {kind} {identity} after {later[0]}, key {key}")
    execute(
        "INSERT INTO simulation_effects (kind, identity, place, key, seq) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, place, identity) DO UPDATE SET times = times + 1",
        (kind, identity, place, key, seq),
    )


def _is_replayed(execute: Any, kind: str, identity: str) -> bool:
    """Return whether a job or a dead letter was replayed, which may break the order."""
    sql = "SELECT 1 FROM rolehost_dead_events WHERE event = ?"
    if kind == "job":
        sql = "SELECT 1 FROM simulation_replayed WHERE job = ?"
    return execute(sql, (identity,)).fetchone() is not None


def install(database: MemoryDatabase) -> None:
    """Add the tables and triggers to a migrated database."""
    with database.session():
        database.peewee.driver().executescript(_SCHEMA + places.SCHEMA)


def register(database: MemoryDatabase, clock: Callable[[], SimulatedClock]) -> None:
    """Register the functions that the triggers call; call this before using the database.

    Args:
        database: database of a simulated world.
        clock: returns the clock of the current run.
    """
    function = database.peewee.register_function
    function(lambda: clock().milliseconds, "simulation_now", 0)
    function(lambda: clock().elapsed, "simulation_elapsed", 0)
    function(lambda: clock().is_behind, "simulation_behind", 0)
    # Transactions are serial, so the number of commits before a transaction identifies it.
    function(lambda: database.store.commits, "simulation_commit", 0)
    database.peewee.register_function(_identity, "simulation_identity", 2)


def _identity(headers: bytes, value: bytes) -> str:
    return _of_record(Record("", value, None, decode_headers(headers)))


def violated(world: SimulatedWorld, contract: Contract) -> str | None:
    """Return the first violation, or None; called after commits."""
    if contract._overlap is not None:
        return contract._overlap
    rows = world.rows("SELECT text FROM simulation_violations LIMIT 1")
    return rows[0][0] if rows else contract.places.check(world)


def unsettled(
    world: SimulatedWorld, contract: Contract, groups: dict[str, set[str]]
) -> Iterator[str]:
    """Yield jobs and events that are lost or stuck at the end of a run.

    Args:
        world: the world.
        contract: its contract state.
        groups: the consumer groups of each topic.
    """
    read = world.rows
    for number, actor, state in read(
        "SELECT id, actor, state FROM rolehost_jobs"
        " WHERE state IN ('available', 'claimed', 'running')"
    ):
        yield f"nothing lost: job {number} of {actor} stays {state}"
    for table in ("rolehost_partitions", "rolehost_limits"):
        for name, held in read(f"SELECT name, held FROM {table} WHERE held <> 0"):
            yield f"places: {name} counts {held} claimed jobs at the end"
    for identity, group in read(
        "SELECT event, consumer_group FROM rolehost_parked_events"
        " JOIN rolehost_parked_keys ON rolehost_parked_keys.id = parked_key"
    ):
        yield f"nothing lost: event {identity} stays parked in group {group}"
    effects = {
        (kind, identity) for kind, identity in read("SELECT kind, identity FROM simulation_effects")
    }
    for number, actor in read("SELECT id, actor FROM rolehost_jobs WHERE state = 'completed'"):
        if number not in contract.returned:
            yield f"nothing lost: job {number} of {actor} is completed, but no attempt returned"
        elif number not in contract.bare and ("job", str(number)) not in effects:
            yield f"nothing lost: job {number} of {actor} is completed without its effects"
    yield from _unhandled(world, contract, groups)


def _unhandled(
    world: SimulatedWorld, contract: Contract, groups: dict[str, set[str]]
) -> Iterator[str]:
    read = world.rows
    sent = {
        _of_record(kept.record)
        for topic in world.topics.names()
        for records in world.topics.topic(topic)
        for kept in records
    }
    dead = {row[0] for row in read("SELECT event FROM rolehost_dead_events")}
    marks = set(read("SELECT consumer_group, event FROM rolehost_inbox"))
    for identity, topic in read("SELECT identity, topic FROM simulation_events"):
        if identity in dead:
            continue
        if identity not in sent:
            yield f"nothing lost: event {identity} for topic {topic} never came to the stream"
            continue
        for group in sorted(groups.get(topic, ())):
            if (group, identity) not in contract.handled and (group, identity) not in marks:
                yield f"nothing lost: event {identity} of topic {topic} not handled by {group}"


def _of_record(record: Record) -> str:
    return envelope.identity(record)
