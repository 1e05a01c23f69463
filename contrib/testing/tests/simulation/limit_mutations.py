"""Ways to break limits, partitions and groups, each of which a simulation must notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import msgspec
from rolehost.api.limits import NO_LIMITS
from rolehost.delivery import changes, ledger, limits, members
from rolehost.delivery.changes import Changes
from rolehost.delivery.jobs import Finish
from rolehost.delivery.ledger import Ledger
from rolehost.delivery.limits import LimitTable, Share
from rolehost.delivery.partitions import Partitions
from rolehost.delivery.runner import Runner
from rolehost.delivery.runs import KeyRun
from rolehost.roles.worker.ready import ReadyRuns


def drop_the_limit_of_an_actor() -> Any:
    """The limit of an actor is not applied."""
    return mock.patch.object(LimitTable, "of_actor", lambda self, name: NO_LIMITS)


def drop_the_limit_of_a_queue() -> Any:
    """The limit of a queue is not applied."""
    return mock.patch.object(LimitTable, "of_queue", lambda self, name: NO_LIMITS)


def drop_the_limit_of_a_partition() -> Any:
    """The limit of a partition is not applied."""
    return mock.patch.object(LimitTable, "of_partition", lambda self, actor, value: NO_LIMITS)


def free_a_place_before_the_end() -> Any:
    """A place is freed in a transaction of its own, before the job runs."""
    run = Runner.run

    def freeing(self: Runner, job: Any, earlier: Any = ()) -> Finish:
        if job.partition_id is not None:
            database = self.runtime.database
            with database.session(), database.transaction() as tx:
                changes.append(tx, [job.freed()])
            job = msgspec.structs.replace(job, partition_id=None)
        return run(self, job, earlier)

    return mock.patch.object(Runner, "run", freeing)


def keep_a_partition_closed() -> Any:
    """A partition that was closed is not opened by the end of a job."""
    applying = Changes._apply_some

    def keeping(self: Changes, tx: Any, some: Any, changed: dict[int, Any]) -> list[int]:
        done = applying(self, tx, some, changed)
        for number in done:
            if some[number].freed:
                partition = changed[some[number].partition_id]
                changed[partition.id] = partition._replace(open=0)
        return done

    return mock.patch.object(Changes, "_apply_some", keeping)


def forget_the_turns() -> Any:
    """The partition that was served last is served first."""
    served = Share.served
    return mock.patch.object(
        Share, "served", lambda self, now: served(self, now)._replace(turn=2**61 - now)
    )


def claim_the_jobs_of_a_key_side_by_side() -> Any:
    """The jobs of a key, and of a partition of concurrency 1, are claimed side by side."""
    return mock.patch.object(limits, "is_serial", lambda *_: False)


def lose_the_changes_of_dead_processes() -> Any:
    """The release of a dead process's jobs appends no change."""
    return mock.patch.object(ledger, "announce", lambda *_, **__: None)


def lose_the_changes_of_stored_ends() -> Any:
    """Ends that are stored in a batch free no places."""
    end_many = Ledger.end_many

    def losing(*args: Any) -> list[changes.Change]:
        end_many(*args)
        return []

    return mock.patch.object(Ledger, "end_many", losing)


def forget_when_a_job_was_admitted() -> Any:
    """The theoretical arrival time of a rate is not stored."""
    storing = Partitions._store_limits

    def forgetting(self: Partitions, tx: Any, above: Any) -> None:
        for named in above.values():
            for limit in named.values():
                limit.next_at_us = 0
        storing(self, tx, above)

    return mock.patch.object(Partitions, "_store_limits", forgetting)


@contextmanager
def acknowledge_a_group_before_its_commit() -> Iterator[None]:
    """The ends of a group's members are committed before the group begins."""
    run_group = members._run_group

    def acknowledging(running: Any, group: Any, jobs: Any, *rest: Any) -> bool:
        runtime = running.runtime
        now = runtime.clock.now()
        end = Finish("completed", now, True, None)
        with runtime.database.session(), runtime.database.transaction() as tx:
            Ledger.finish_many(runtime.ledger, tx, [(job, end) for job in jobs], now)
        return bool(run_group(running, group, jobs, *rest))

    with (
        mock.patch.object(members, "_run_group", acknowledging),
        mock.patch.object(Ledger, "finish_all", lambda *_: True),
    ):
        yield


def start_the_next_run_of_a_key_at_once() -> Any:
    """The next run of a key does not wait for the end of the one before."""
    admitting = ReadyRuns._admit
    return mock.patch.object(
        ReadyRuns, "_admit", lambda self, runs, ahead=None: admitting(self, runs)
    )


def run_jobs_of_a_key_after_one_that_is_not_finished() -> Any:
    """The next run of a key starts although a job of the one before waits for a retry."""
    ending = KeyRun.end

    def finishing(self: KeyRun, ends: Any) -> None:
        ending(self, ends)
        if ends and not self.ended:
            self.ended = []

    return mock.patch.object(KeyRun, "end", finishing)


#: Ways to break the order of a key across its runs.
KEY_MUTATIONS = (
    start_the_next_run_of_a_key_at_once,
    run_jobs_of_a_key_after_one_that_is_not_finished,
)

LIMIT_MUTATIONS = (
    drop_the_limit_of_an_actor,
    drop_the_limit_of_a_queue,
    drop_the_limit_of_a_partition,
    free_a_place_before_the_end,
    keep_a_partition_closed,
    forget_the_turns,
    claim_the_jobs_of_a_key_side_by_side,
    lose_the_changes_of_dead_processes,
    lose_the_changes_of_stored_ends,
    forget_when_a_job_was_admitted,
    acknowledge_a_group_before_its_commit,
)
