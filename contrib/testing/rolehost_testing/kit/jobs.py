"""Claim, run and finish one job at a time, in the thread of the test."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial

import msgspec
from rolehost import failpoints, joblog
from rolehost.delivery.claims import Claims
from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runner import Runner
from rolehost.services import ProcessServices

from rolehost_testing.kit.coroutines import run_before
from rolehost_testing.kit.metrics import Metrics
from rolehost_testing.kit.ran import Ran


class Jobs:
    """The durable jobs of a worker process.

    Args:
        services: the services of the process.
        owner: identity of the process.
        metrics: records the outcomes of attempts.
    """

    def __init__(self, services: ProcessServices, owner: str, metrics: Metrics) -> None:
        self._runtime = services.delivery
        self._services = services
        self._owner = owner
        self._metrics = metrics
        queues: dict[str, list[str]] = {}
        for actor in services.delivery.declared.actors.values():
            queues.setdefault(actor.queue, []).append(actor.name)
        self._claims = {
            queue: Claims(services.delivery, queue, actors, owner)
            for queue, actors in sorted(queues.items())
        }

    def keep(self, queues: tuple[str, ...] | None) -> None:
        """Consume only these queues (``[worker] queues``); None means all queues."""
        if queues is not None:
            self._claims = {name: each for name, each in self._claims.items() if name in queues}

    def next_due(self) -> int | None:
        """Return when a rate admits the next limited job, in milliseconds, or None."""
        dues = [claims.next_due() for claims in self._claims.values()]
        return min((due for due in dues if due is not None), default=None)

    def step(self) -> Ran | None:
        """Run the next due job and return its result, or None if no job is due."""
        for claims in self._claims.values():
            job = self._claim(claims)
            if job is not None:
                failpoints.reach("ledger.after_claim")
                return copy_context().run(self._run, job)
        return None

    def _claim(self, claims: Claims) -> ClaimedJob | None:
        runtime = self._runtime
        now = runtime.clock.now()
        if not claims.may_find_jobs(now):
            return None
        with runtime.database.transaction() as tx:
            runs = claims.claim(tx, 1, now)
        return runs[0][0] if runs else None

    def _wait_for(self, job: ClaimedJob) -> ClaimedJob:
        runner, actor, lines = (
            self._runner(),
            self._runtime.declared.actors[job.actor],
            joblog.new(),
        )
        context = copy_context()
        context.run(joblog.kept.set, lines)
        ended = context.run(
            run_before,
            self._services,
            partial(runner.enter, job),
            partial(runner.begin, job, actor),
        )
        return msgspec.structs.replace(job, coroutine=ended._replace(lines=lines))

    def _runner(self, on_error: Callable[[BaseException], None] | None = None) -> Runner:
        return Runner(self._runtime, self._services, on_error=on_error, wait_for=self._wait_for)

    def _run(self, job: ClaimedJob) -> Ran:
        runtime = self._runtime
        errors: list[BaseException] = []
        runner = self._runner(errors.append)
        actor = runtime.declared.actors[job.actor]
        # The runner waits for a suspect itself, after it has recorded the start.
        if actor.is_async and not (job.suspect or job.cancel or job.row_error):
            job = self._wait_for(job)
        self._metrics.last_job = ""
        end = runner.run(job)
        if not end.stored:
            with runtime.database.transaction() as tx:
                runtime.ledger.finish(tx, job, end, runtime.clock.now())
        return Ran(
            kind="job",
            name=job.actor,
            outcome=self._metrics.last_job or "lost",
            id=str(job.id),
            arguments=msgspec.json.decode(job.arguments),
            error=errors[0] if errors else None,
        )
