"""Ways to break the host, each of which a simulation must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from rolehost.delivery import handling, leases, ledger, limits, outbox, parking, runner
from rolehost.delivery.attempts import EventScope
from rolehost.delivery.claims import Claims
from rolehost.delivery.groups import Group
from rolehost.delivery.handling import Handling
from rolehost.delivery.jobs import Finish
from rolehost.delivery.ledger import Ledger
from rolehost.delivery.relay import Relay
from rolehost.delivery.runner import Runner
from rolehost.roles.consumer.assignments import Assignments, Offsets
from rolehost.roles.consumer.group import ConsumerGroup

Mutation = Callable[[], Any]


def skip_the_inbox_mark() -> Any:
    """A handler's effects are committed without the mark that stops a duplicate."""
    return mock.patch.object(EventScope, "on_open", lambda self, work: None)


@contextmanager
def commit_offsets_before_the_handler() -> Iterator[None]:
    """A taken record counts as finished."""

    def take(self: Offsets, offset: int) -> None:
        self.committable = offset + 1

    def committable(self: Assignments) -> dict[Any, int]:
        return {
            partition: each.offsets.committable
            for partition, each in self._owned.items()
            if each.offsets.committable is not None
            and committed_offsets.get(each.offsets) != each.offsets.committable
        }

    def committed(self: Assignments, offsets: dict[Any, int]) -> None:
        for partition, offset in offsets.items():
            committed_offsets[self._owned[partition].offsets] = offset

    committed_offsets: dict[Offsets, int] = {}
    with (
        mock.patch.object(Offsets, "take", take),
        mock.patch.object(Offsets, "finish", lambda self, offset: True),
        mock.patch.object(Assignments, "committable", committable),
        mock.patch.object(Assignments, "note_committed", committed),
    ):
        yield


def commit_offsets_over_gaps() -> Any:
    """The offset after the latest finished record is committed, with gaps before it."""
    finish = Offsets.finish

    def over_gaps(self: Offsets, offset: int) -> bool:
        finish(self, offset)
        self.committable = max(self.committable or 0, offset + 1)
        return True

    return mock.patch.object(Offsets, "finish", over_gaps)


def drop_the_fencing_check() -> Any:
    """A process may finish a job that another process holds now."""
    loose = ledger._FINISH.replace("token = ? AND owner IS NOT NULL", "? IS NOT NULL")
    return mock.patch.object(ledger, "_FINISH", loose)


def delete_from_the_outbox_before_sending() -> Any:
    """An event is deleted, then sent."""
    relay = Relay._relay

    def deleting(self: Relay, topic: str, rows: Any) -> Any:
        with self._runtime.database.transaction() as tx:
            outbox.remove(self._runtime.database, tx, rows)
        return relay(self, topic, rows)

    return mock.patch.object(Relay, "_relay", deleting)


def forget_what_could_not_be_published() -> Any:
    """Events that the stream has not stored leave the outbox too."""
    publish = Relay._publish

    def forgetting(self: Relay, topic: str, rows: Any) -> Any:
        publish(self, topic, rows)
        return [None] * len(rows)

    return mock.patch.object(Relay, "_publish", forgetting)


@contextmanager
def complete_the_job_before_its_effects() -> Iterator[None]:
    """A job is completed in a separate transaction, before it runs."""
    run = Runner.run

    def completing(self: Runner, job: Any, earlier: Any = ()) -> Finish:
        runtime = self.runtime
        now = runtime.clock.now()
        with runtime.database.session(), runtime.database.transaction() as tx:
            runtime.ledger.finish(tx, job, Finish("completed", now, True, None), now)
        return run(self, job)

    with (
        mock.patch.object(Runner, "run", completing),
        mock.patch.object(Ledger, "conclude", lambda *_: True),
        mock.patch.object(Ledger, "finish_many", lambda *_: None),
    ):
        yield


def ignore_what_is_to_be_unique() -> Any:
    """A job is inserted though one like it waits."""
    insert = Ledger.insert
    return mock.patch.object(
        Ledger, "insert", lambda self, tx, job, *_: insert(self, tx, job._replace(unique=None))
    )


def lease_without_looking_at_its_end() -> Any:
    """Every request for a lease succeeds."""

    def acquire(database: Any, clock: Any, name: str, owner: str, ttl: float) -> int:
        now = clock.now()
        with database.session(), database.transaction() as tx:
            row = tx.execute(
                "INSERT INTO rolehost_leases (name, owner, token, expires_at)"
                " VALUES (?, ?, 1, ?) ON CONFLICT (name) DO UPDATE SET"
                " token = rolehost_leases.token + 1, owner = excluded.owner,"
                " expires_at = excluded.expires_at RETURNING token",
                (name, owner, now + int(ttl * 1000)),
            ).fetchone()
        return int(row[0])

    return mock.patch.object(leases, "acquire", acquire)


def take_processes_for_dead_too_early() -> Any:
    """A process counts as dead half-way to the end of its lease."""
    return mock.patch.object(
        leases, "is_live", lambda host, pid, expires_at, now: expires_at >= now + 28_000
    )


def claim_what_others_hold() -> Any:
    """A claim looks for claimed rows too."""
    make = Claims.__init__

    def loose(self: Claims, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        old, new = "WHERE state = 'available'", "WHERE state IN ('available', 'claimed')"
        assert old in self._chosen
        self._chosen = self._chosen.replace(old, new)

    return mock.patch.object(Claims, "__init__", loose)


def claim_without_regard_to_keys() -> Any:
    """The jobs of a key are claimed side by side."""
    return mock.patch.object(limits, "is_serial", lambda *_: False)


def handle_in_any_order() -> Any:
    """Events of one key are handled side by side."""
    work = ConsumerGroup._work
    return mock.patch.object(
        ConsumerGroup, "_work", lambda self, taken: [(None, each) for _, each in work(self, taken)]
    )


def park_nothing() -> Any:
    """There are too many parked events; no mutation: failed events are retried in place."""
    return mock.patch.object(parking, "MOST_PARKED", 0)


@contextmanager
def handle_what_waits_after_the_partition_has_moved() -> Iterator[None]:
    """An event that waits for the retry of an earlier one of its key is handled in any case."""
    alone = ConsumerGroup._handle_started
    with park_nothing(), mock.patch.object(ConsumerGroup, "_handle_alone", alone):
        yield


def call_a_failure_a_success() -> Any:
    """A job that raised is completed."""
    return mock.patch.object(runner, "end_of_error", lambda *_: Finish("completed", 0, True, None))


def keep_the_writes_of_a_failed_member() -> Any:
    """The savepoint of a member that failed is not rolled back."""
    return mock.patch.object(Group, "end_part", lambda self, unit, *, undo: None)


def commit_a_group_with_a_lost_claim() -> Any:
    """A group commits although the claim of a member was lost."""
    original = Ledger.finish_all

    def finish_all(*args: Any) -> bool:
        original(*args)
        return True

    return mock.patch.object(Ledger, "finish_all", finish_all)


def let_events_overtake_a_parked_one() -> Any:
    """An event is handled although an earlier one of its key is parked."""
    return mock.patch.object(handling, "_lane_in", lambda *_: None)


def commit_offsets_before_an_event_is_parked() -> Any:
    """A failed event counts as finished, and is parked in a transaction after that."""
    park = Handling._park

    def later(self: Handling, *failed: Any) -> None:
        group: Any = self._wait.__self__  # type: ignore[attr-defined]
        group._lanes.submit([(None, lambda: park(self, *failed))])

    return mock.patch.object(Handling, "_park", later)


MUTATIONS: tuple[Mutation, ...] = (
    skip_the_inbox_mark,
    commit_offsets_before_the_handler,
    commit_offsets_over_gaps,
    drop_the_fencing_check,
    delete_from_the_outbox_before_sending,
    forget_what_could_not_be_published,
    complete_the_job_before_its_effects,
    ignore_what_is_to_be_unique,
    lease_without_looking_at_its_end,
    take_processes_for_dead_too_early,
    claim_what_others_hold,
    claim_without_regard_to_keys,
    handle_in_any_order,
    handle_what_waits_after_the_partition_has_moved,
    call_a_failure_a_success,
    keep_the_writes_of_a_failed_member,
    commit_a_group_with_a_lost_claim,
    let_events_overtake_a_parked_one,
    commit_offsets_before_an_event_is_parked,
)
