"""Runs attempts of grouped actors as members of a group (:mod:`rolehost.delivery.groups`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import structlog

from rolehost.api.actors import Actor
from rolehost.delivery.groups import MOST_SAVEPOINTS, Group, GroupFailed
from rolehost.delivery.jobs import FINISHED, ClaimedJob, Finish
from rolehost.delivery.runner import End, Runner
from rolehost.delivery.runs import Run
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import Scope
from rolehost.failures import describe
from rolehost.storage import Transaction

log = structlog.get_logger(__name__)

#: The end of an attempt, and the seconds that it took.
Ended = tuple[Finish, float]
#: Runs one attempt with a runner.
Try = Callable[[Runner, ClaimedJob], Ended]


class Together(list[ClaimedJob]):
    """Claimed jobs, each independent of the others, that one thread runs in groups."""


def next_group(ready: deque[Run], may_join: Callable[[Run], bool]) -> Run:
    """Remove and return the next run, with those after it that may join its group."""
    run = ready.popleft()
    if may_join(run):
        run = Together(run)
        while ready and len(run) < MOST_SAVEPOINTS and may_join(ready[0]):
            run += ready.popleft()
    return run


def count_groups(ready: Iterable[Run], may_join: Callable[[Run], bool], most: int) -> int:
    """Return how many times :func:`next_group` can be called until no run is left.

    PERF: the count stops at ``most``; often one group is enough, and a thousand runs are ready.
    """
    groups = members = 0
    for run in ready:
        if groups >= most:
            break
        members = members % MOST_SAVEPOINTS + 1 if may_join(run) else 0
        groups += members <= 1
    return groups


class Members(Runner):
    """Runs attempts as members of a group, in the thread of the group."""

    def __init__(self, alone: Runner, group: Group) -> None:
        # A coroutine was stopped before its attempt, so the group goes on. An interruption of this
        # thread is not an Exception, and ends the group.
        stopped = [each for each in alone.interrupts if issubclass(each, Exception)]
        super().__init__(alone.runtime, alone.services, stopped, alone.on_error, alone.wait_for)
        self._group = group

    def _scope(self, job: ClaimedJob) -> Scope:
        scope = super()._scope(job)
        scope.group = self._group
        return scope

    def _failed(self, job: ClaimedJob, actor: Actor, error: BaseException, began: int) -> Finish:
        """Return the end of a failed attempt. Raises GroupFailed if the group cannot go on."""
        # An interruption may come between two statements of the group, so its state is unknown.
        interrupted = not issubclass(type(error), Exception)
        if interrupted or self._group.failure is not None or self.runtime.guard.is_outage(error):
            raise GroupFailed from error
        return super()._failed(job, actor, error, began)

    def _record_end(self, job: ClaimedJob, end: Finish, *rest: Any) -> Finish:
        self._group.reports.append(partial(super()._record_end, job, end, *rest))
        return end


def run_together(
    alone: Runner, jobs: Sequence[ClaimedJob], attempt: Try, ends: list[Ended]
) -> None:
    """Run jobs in groups; fill ``ends`` in their order, also if interrupted.

    If a group fails, its members run alone. After an interruption, the other jobs have no end.
    """
    while len(ends) < len(jobs):
        rest = jobs[len(ends) :]
        group = Group(alone.runtime)
        done: list[Ended] = []
        try:
            committed = _run_group(Members(alone, group), group, rest, attempt, done)
        except GroupFailed as failed:
            cause = failed.__cause__ or failed
            if issubclass(type(cause), alone.interrupts):
                return
            log.warning(
                "group rolled back, its members run alone",
                count=len(done),
                error=" ".join(describe(cause).split()),
            )
            if not _run_alone(alone, rest[: len(done) + 1], attempt, ends):
                return
        else:
            ends += done if not committed else [_stored(*each) for each in done]
            group.report()
            if committed and _leaves_work(rest, done):
                alone.runtime.wake([f"queue:{jobs[0].queue}"])


def _run_group(
    members: Members,
    group: Group,
    jobs: Sequence[ClaimedJob],
    attempt: Try,
    done: list[Ended],
) -> bool:
    """Run members until the group is full, and commit; return whether the ends are stored."""
    runtime = members.runtime
    with group:
        for job in jobs:
            done.append(attempt(members, job))
            if group.full:
                break
        ends = [(job, end) for job, (end, _) in zip(jobs, done, strict=False)]
        return group.commit(lambda tx: _finish(runtime, tx, ends))


def _stored(end: Finish, seconds: float) -> Ended:
    return (end if end.stored else end.as_stored()), seconds


def _leaves_work(jobs: Sequence[ClaimedJob], done: Sequence[Ended]) -> bool:
    """Return whether an end lets a job wait, or frees a place of a limit."""
    pairs = zip(jobs, done, strict=False)
    return any(end.state not in FINISHED or job.partition_id for job, (end, _) in pairs)


def _finish(runtime: DeliveryRuntime, tx: Transaction, ends: Sequence[End]) -> bool:
    ends = [(job, end) for job, end in ends if end.state != "lost"]
    return runtime.ledger.finish_all(tx, ends, runtime.clock.now())


def _run_alone(
    alone: Runner,
    jobs: Sequence[ClaimedJob],
    attempt: Try,
    ends: list[Ended],
) -> bool:
    """Run jobs one after another; return False after an interruption."""
    for job in jobs:
        ends.append(attempt(alone, job))
        if ends[-1][0].state == "available":
            return False
    return True
