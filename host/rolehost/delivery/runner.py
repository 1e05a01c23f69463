"""Runs claimed jobs: one attempt, one scope, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import structlog

from rolehost import failpoints
from rolehost.api import values
from rolehost.api.contributions import Actor
from rolehost.api.retries import Dead, Outcome, Retry, Snooze
from rolehost.api.services import Services
from rolehost.delivery.failures import bounded, describe, report
from rolehost.delivery.forks import contained
from rolehost.delivery.guard import current
from rolehost.delivery.ledger import OVER, ClaimedJob, Finish
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import Scope
from rolehost.errors import LeaseLost, PayloadError, StorageUnavailable

log = structlog.get_logger(__name__)


class Attempt:
    """The context an actor is given; implements :class:`rolehost.api.JobContext`."""

    __slots__ = ("_limit", "_row", "_runtime", "services")

    def __init__(
        self, runtime: DeliveryRuntime, services: Services, row: ClaimedJob, limit: int
    ) -> None:
        self._runtime = runtime
        self._row = row
        self._limit = limit
        self.services = services

    @property
    def id(self) -> int:
        """The job's id."""
        return self._row.id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._row.attempt + 1

    @property
    def last_attempt(self) -> bool:
        """Whether a failure now makes the job a dead letter."""
        return self._row.attempt + 1 >= self._limit

    @property
    def enqueued_at(self) -> int:
        """When it was enqueued, milliseconds since the epoch."""
        return self._row.enqueued_at

    @property
    def cancelled(self) -> bool:
        """Whether someone asked to cancel this job."""
        with self._runtime.database.session():
            rows = self._runtime.database.read(
                "SELECT cancel FROM rolehost_jobs WHERE id = ?", (self._row.id,)
            )
        return bool(rows and rows[0][0])


class Runner:
    """Runs attempts for a worker; thread-safe.

    Args:
        runtime: the delivery runtime.
        services: handed to actors.
        interrupts: exception types that mean a shutdown, not a failure.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        services: Services,
        interrupts: Sequence[type[BaseException]] = (),
    ) -> None:
        self._runtime = runtime
        self._services = services
        self._interrupts = tuple(interrupts)
        # Rows that were running when a process died run one at a time, so that the next crash
        # charges the one that causes it.
        self._quarantine = threading.Lock()

    def run(self, job: ClaimedJob) -> Finish | None:
        """Run one attempt of a claimed job, in a session of this thread.

        Returns:
            How the row is to be given back, for the caller to write (batched); None when that
            is already committed with the job's effects, or the claim was lost.
        """
        runtime = self._runtime
        actor = runtime.declared.actors[job.actor]
        if job.flaw is not None:
            now = runtime.clock.now()
            return self._over(job, Finish("dead", now, False, job.flaw), now, now)
        if job.cancel:
            now = runtime.clock.now()
            return self._over(job, Finish("cancelled", now, False, None), now, now)
        if not job.suspect:
            return self._attempt(job, actor)
        if job.crashes >= actor.max_crashes:
            now = runtime.clock.now()
            text = f"its process died {job.crashes} times while running it"
            return self._over(job, Finish("dead", now, False, text), now, now)
        if not job.crashes:
            return self._suspect(job, actor)
        with self._quarantine:
            return self._suspect(job, actor)

    def _suspect(self, job: ClaimedJob, actor: Actor) -> Finish | None:
        now = self._runtime.clock.now()
        try:
            with self._runtime.database.session(), self._runtime.database.transaction() as tx:
                ours = self._runtime.ledger.start(tx, job, now)
        except StorageUnavailable as error:
            return self._over(job, self.failed(job, actor, error), now, now, error)
        return self._attempt(job, actor) if ours else None

    def _attempt(self, job: ClaimedJob, actor: Actor) -> Finish | None:
        runtime = self._runtime
        began = runtime.clock.now()
        scope = Scope(runtime, f"job:{job.id}", f"actor {job.actor} (job {job.id})")
        token = current.set(scope)
        try:
            with runtime.database.session():
                try:
                    arguments = runtime.signatures[job.actor].decode(job.arguments)
                    attempt = Attempt(runtime, self._services, job, actor.retry.attempts)
                    failpoints.reach("runner.before_actor")
                    outcome: Outcome = contained(actor.fn, attempt, **arguments)
                    failpoints.reach("runner.after_actor")
                    now = runtime.clock.now()
                    end = self._end(job, actor, outcome, now)
                    failpoints.reach("ledger.before_complete")
                    if scope.work is None:
                        return self._over(job, end, began, now)
                    if end.state not in OVER:
                        scope.work.wake(f"queue:{job.queue}")
                    if not scope.commit(lambda tx: runtime.ledger.conclude(tx, job, end, now)):
                        raise LeaseLost(f"job {job.id} was given to another process meanwhile")
                    self._over(job, end, began, now)
                    return None
                except BaseException as error:
                    scope.busy_is_a_failure(error)
                    scope.close()
                    raise
        except LeaseLost:
            log.warning("lease lost, effects undone", job_id=job.id, actor=job.actor)
            self._record(job, "lost", began, runtime.clock.now())
            return None
        except failpoints.Crash:
            raise
        except self._interrupts:
            now = runtime.clock.now()
            return self._over(job, Finish("available", now, False, None), began, now)
        except BaseException as error:  # an actor may raise anything, even SystemExit
            end = self.failed(job, actor, error)
            return self._over(job, end, began, runtime.clock.now(), error)
        finally:
            scope.close()
            current.reset(token)

    def _end(self, job: ClaimedJob, actor: Actor, outcome: Outcome, now: int) -> Finish:
        if outcome is None:
            return Finish("completed", now, True, None)
        if isinstance(outcome, Snooze):
            delay = values.delay("Snooze.delay", outcome.delay)
            return Finish("scheduled", now + int(delay * 1000), False, None)
        if isinstance(outcome, Dead):
            return Finish("dead", now, True, bounded(outcome.reason))
        if isinstance(outcome, Retry):
            attempt = job.attempt + 1
            reason = bounded(outcome.reason)
            if attempt >= actor.retry.attempts:
                return Finish("dead", now, True, reason)
            if outcome.delay is None:
                delay = actor.retry.delay(attempt, self._runtime.random)
            else:
                delay = values.delay("Retry.delay", outcome.delay)
            return Finish("retrying", now + int(delay * 1000), True, reason)
        raise TypeError(
            f"actor {actor.name} returned {type(outcome).__name__}; expected None, Retry,"
            " Snooze or Dead"
        )

    def failed(self, job: ClaimedJob, actor: Actor, error: BaseException) -> Finish:
        """Say how the row of an attempt that raised is given back; tests override it to look."""
        now = self._runtime.clock.now()
        text = describe(error)
        policy = actor.retry
        attempt = job.attempt + 1
        # Not isinstance(), which asks the error for its __class__: an error may lie.
        fatal = issubclass(type(error), (PayloadError, *policy.fatal))
        if self._runtime.guard.absent(error):
            # The service database is away: that is nobody's failure, so it is not counted.
            log.warning("storage unavailable, job handed back", job_id=job.id, error=text)
            return Finish("scheduled", now + 1000, False, text)
        if fatal or attempt >= policy.attempts:
            return Finish("dead", now, True, text)
        delay = policy.delay(attempt, self._runtime.random)
        return Finish("retrying", now + int(delay * 1000), True, text)

    def _over(
        self,
        job: ClaimedJob,
        end: Finish,
        began: int,
        now: int,
        raised: BaseException | None = None,
    ) -> Finish:
        """Record how an attempt ended, and log it if it failed, whether it raised or returned."""
        if end.state in ("retrying", "dead"):
            _log_failure(job, end, now, raised)
        self._record(job, _OUTCOMES[end.state, end.counted], began, now)
        return end

    def _record(self, job: ClaimedJob, outcome: str, began: int, now: int) -> None:
        self._runtime.recorder.job(
            job.actor, outcome, max(0, began - job.run_at) / 1000, (now - began) / 1000
        )


def _log_failure(job: ClaimedJob, end: Finish, now: int, raised: BaseException | None) -> None:
    """Log a failed attempt as one line; with a traceback if it raised and that can be shown."""
    fields: dict[str, Any] = {
        "job_id": job.id,
        "actor": job.actor,
        "attempt": job.attempt + end.counted,
        "error": " ".join((end.error or "").split()),
    }
    if end.state == "dead":
        write, event = log.error, "job dead"
    else:
        write, event = log.warning, "job failed"
        fields["retry_in"] = round((end.run_at - now) / 1000, 3)
    report(write, event, raised, **fields)


_OUTCOMES = {
    ("completed", True): "completed",
    ("retrying", True): "retrying",
    ("scheduled", False): "snoozed",
    ("available", False): "interrupted",
    ("dead", True): "dead",
    ("dead", False): "dead",
    ("cancelled", False): "cancelled",
}
