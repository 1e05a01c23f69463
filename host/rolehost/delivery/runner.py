"""Runs actors: the attempts of claimed jobs, how they end, and ephemeral messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeGuard

import msgspec
import structlog

from rolehost import failpoints, joblog
from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.api.retries import Complete, Dead, Outcome, Retry, Snooze
from rolehost.api.services import Services
from rolehost.delivery.arguments import Signature
from rolehost.delivery.around import Around, note
from rolehost.delivery.around import current as around_attempt
from rolehost.delivery.forks import call_exiting_forks
from rolehost.delivery.guard import current
from rolehost.delivery.history import Attempted, text_of
from rolehost.delivery.jobs import EXPIRED, FINISHED, ClaimedJob, Finish
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.delivery.scopes import Scope, current_scope
from rolehost.errors import LeaseLost, StorageUnavailable
from rolehost.failures import (
    bounded,
    describe,
    format_traceback,
    is_fatal,
    loggable,
    report,
    storable,
)
from rolehost.storage import Transaction

log = structlog.get_logger(__name__)

#: A claimed job and its end.
End = tuple[ClaimedJob, Finish]

#: The end of an attempt whose claim was lost.
_LOST = Finish("lost", 0, False, None, stored=True)

#: Recorded outcomes, by the new state of the row and whether the attempt counts.
_OUTCOMES = {
    ("completed", True): "completed",
    ("retrying", True): "retrying",
    ("scheduled", False): "snoozed",
    ("available", False): "interrupted",
    ("dead", True): "dead",
    ("dead", False): "dead",
    ("cancelled", False): "cancelled",
}


class Expired(Exception):
    """The time ``expires_at`` of a job passed before its attempt started."""


class Attempt:
    """The context argument of an actor; implements :class:`rolehost.api.JobContext`."""

    __slots__ = ("_row", "_runtime", "attempt", "enqueued_at", "id", "last_attempt", "services")

    def __init__(
        self, runtime: DeliveryRuntime, services: Services, row: ClaimedJob, limit: int
    ) -> None:
        self._runtime = runtime
        self._row = row
        self.services = services
        self.id = row.id
        self.attempt = row.attempt + 1
        self.last_attempt = self.attempt >= limit
        self.enqueued_at = row.enqueued_at

    @property
    def cancelled(self) -> bool:
        """Whether this job was cancelled while it runs, or its claim is lost."""
        with self._runtime.database.session():
            return not self._runtime.ledger.goes_on(self._row)

    def roll_back(self) -> None:
        """Roll back what this attempt has written so far."""
        scope = current_scope()
        if scope is not None:
            scope.start_again()


class Runner:
    """Runs attempts for a worker; thread-safe.

    Exceptions of the types ``interrupts`` mean a shutdown, not a failure. ``on_error`` is called
    with the exception of each failed attempt. ``wait_for`` runs the coroutine of a job to its end,
    and returns the job with it, if there are asynchronous actors.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        services: Services,
        interrupts: Sequence[type[BaseException]] = (),
        on_error: Callable[[BaseException], None] | None = None,
        wait_for: Callable[[ClaimedJob], ClaimedJob] | None = None,
    ) -> None:
        self.runtime = runtime
        self.services = services
        self.interrupts = tuple(interrupts)
        self.on_error = on_error
        self.wait_for = wait_for
        # Possible *poison messages* run one at a time, so that the next crash of the process is
        # counted for the job that caused it.
        self.quarantine: AbstractContextManager[Any] = threading.Lock()

    def run(self, job: ClaimedJob, earlier: Sequence[End] = ()) -> Finish:
        """Run one attempt of a claimed job, in a session of this thread.

        ``earlier``: ends that must be stored no later than this job's effects; both are committed
        in one transaction. Returns the end of the attempt. Unless it is ``stored``, the caller
        writes it and the earlier ones in a batch.
        """
        actor = self.runtime.declared.actors[job.actor]
        if job.row_error is not None:
            return self._skip(job, "dead", job.row_error)
        if job.cancel:
            return self._skip(job, "cancelled", None)
        if not job.suspect:
            return self._attempt(job, actor, earlier)
        if job.crashes >= actor.max_crashes:
            return self._skip(job, "dead", f"its process died {job.crashes} times while running it")
        if not job.crashes:
            return self._attempt_with_recorded_start(job, actor, earlier)
        with self.quarantine:
            return self._attempt_with_recorded_start(job, actor, earlier)

    def _skip(self, job: ClaimedJob, state: str, error: str | None) -> Finish:
        now = self.runtime.clock.now()
        return self._record_end(job, Finish(state, now, False, error), now, now)

    def _attempt_with_recorded_start(
        self, job: ClaimedJob, actor: Actor, earlier: Sequence[End]
    ) -> Finish:
        """Run an attempt whose start is recorded first, so that a crash in it is counted."""
        runtime = self.runtime
        now = runtime.clock.now()
        try:
            with runtime.database.session(), runtime.database.transaction() as tx:
                ours = runtime.ledger.start(tx, job, now)
        except StorageUnavailable as error:
            return self._failed(job, actor, error, now)
        if not ours:
            return _LOST
        if actor.is_async and job.coroutine is None:
            assert self.wait_for is not None  # a process with asynchronous actors sets it
            return self.run(msgspec.structs.replace(self.wait_for(job), suspect=0), earlier)
        return self._attempt(job, actor, earlier)

    def _attempt(self, job: ClaimedJob, actor: Actor, earlier: Sequence[End]) -> Finish:
        # Before the middleware, whose lines and failures belong to this attempt too.
        joblog.kept.set(joblog.new() if job.coroutine is None else job.coroutine.lines)
        if not self.runtime.middleware:
            return self._try(job, actor, earlier)
        around = None if job.coroutine is None else job.coroutine.around
        if around is not None:
            assert around.context is not None  # the coroutine ran in it
            return around.context.run(self._try_inside, around, job, actor, earlier)
        began = self.runtime.clock.now()
        try:
            around = self.enter(job)
        except failpoints.Crash:
            raise
        except self.interrupts:
            return self._interrupted(job, began)
        except BaseException as error:  # middleware may raise anything, and time limits pass
            return self._failed(job, actor, error, began)
        return self._try_inside(around, job, actor, earlier)

    def enter(self, job: ClaimedJob) -> Around | None:
        """Enter the middleware around an attempt; None if there is none."""
        middleware, attempt = self.runtime.middleware, job.attempt + 1
        return Around.enter(middleware, self.services, "job", job.actor, job.id, attempt, job.cause)

    def _try_inside(
        self, around: Around | None, job: ClaimedJob, actor: Actor, earlier: Sequence[End]
    ) -> Finish:
        assert around is not None  # there is middleware
        token = around_attempt.set(around)
        outcome = "interrupted"
        try:
            end = self._try(job, actor, earlier)
            outcome = _outcome(end)
            return end
        finally:
            around_attempt.reset(token)
            around.leave(outcome)

    def _try(self, job: ClaimedJob, actor: Actor, earlier: Sequence[End]) -> Finish:
        runtime = self.runtime
        ended = job.coroutine
        began = runtime.clock.now() if ended is None else ended.began
        scope = self._scope(job)
        token = current.set(scope)
        try:
            with runtime.database.session():
                try:
                    outcome = self.begin(job, actor) if ended is None else ended.result()
                    if outcome is not None and isinstance(outcome, Complete):
                        outcome = call_exiting_forks(
                            outcome.function, *outcome.args, **outcome.kwargs
                        )
                    failpoints.reach("runner.after_actor")
                    now = runtime.clock.now()
                    end = end_of_outcome(runtime, job, actor, outcome, now)
                    around = around_attempt.get()
                    if around is not None and end.state == "completed":
                        call_exiting_forks(around.complete)
                    end = self._with_attempt(job, actor, end, began, now)
                    failpoints.reach("ledger.before_complete")
                    if scope.work is None:
                        return self._record_end(job, end, began, now)
                    if end.state not in FINISHED:
                        scope.work.wake(f"queue:{job.queue}")
                    # The *fencing token* is checked in the transaction of the effects: if another
                    # process has the job by now, they are rolled back.
                    if not scope.commit(partial(self._conclude, job, end, now, earlier)):
                        raise LeaseLost(f"job {job.id} was given to another process meanwhile")
                    return self._record_end(job, end, began, now).as_stored()
                except BaseException as error:
                    scope.busy_is_a_failure(error)
                    scope.close()
                    raise
        except LeaseLost:
            log.warning("lease lost, effects undone", job_id=job.id, actor=job.actor)
            self._record(job, "lost", began, runtime.clock.now())
            return _LOST
        except failpoints.Crash:
            raise
        except self.interrupts:
            return self._interrupted(job, began)
        except BaseException as error:  # an actor may raise anything, even SystemExit
            return self._failed(job, actor, error, began)
        finally:
            scope.close()
            current.reset(token)

    def begin(self, job: ClaimedJob, actor: Actor) -> Any:
        """Call the actor; return its outcome, or its coroutine if it is asynchronous.

        Raises Expired if the job must not start any more.
        """
        if job.expires_at is not None and job.expires_at <= self.runtime.clock.now():
            raise Expired
        arguments = self.runtime.signatures[job.actor].decode(job.arguments)
        attempt = Attempt(self.runtime, self.services, job, actor.retry.attempts)
        failpoints.reach("runner.before_actor")
        return call_exiting_forks(actor.fn, attempt, **arguments)

    def _scope(self, job: ClaimedJob) -> Scope:
        return Scope(self.runtime, f"job:{job.id}", f"actor {job.actor} (job {job.id})")

    def _conclude(
        self, job: ClaimedJob, end: Finish, now: int, earlier: Sequence[End], tx: Transaction
    ) -> bool:
        ledger = self.runtime.ledger
        ledger.finish_many(tx, earlier, now)
        return ledger.conclude(tx, job, end, now)

    def _interrupted(self, job: ClaimedJob, began: int) -> Finish:
        now = self.runtime.clock.now()
        return self._record_end(job, Finish("available", now, False, None), began, now)

    def _failed(self, job: ClaimedJob, actor: Actor, error: BaseException, began: int) -> Finish:
        end = end_of_error(self.runtime, job, actor, error)
        raised = error.__cause__ if _is_no_failure(error) else error
        note(raised)
        now = self.runtime.clock.now()
        end = self._with_attempt(job, actor, end, began, now, raised)
        return self._record_end(job, end, began, now, raised)

    def _with_attempt(
        self,
        job: ClaimedJob,
        actor: Actor,
        end: Finish,
        began: int,
        now: int,
        raised: BaseException | None = None,
    ) -> Finish:
        """Add to an end what the history keeps of the attempt: if it failed, or all are kept."""
        failed = end.counted and end.state in ("retrying", "dead")
        if not failed and not actor.history:
            return end
        attempted = Attempted(
            outcome=_outcome(end),
            started_at=began,
            ended_at=now,
            version=self.runtime.declared.versions.get(job.actor),
            error=None if end.error is None else storable(end.error),
            traceback=None if raised is None else format_traceback(raised),
            log=text_of(joblog.kept.get()),
        )
        return end._replace(attempted=attempted)

    def _record_end(
        self,
        job: ClaimedJob,
        end: Finish,
        began: int,
        now: int,
        raised: BaseException | None = None,
    ) -> Finish:
        """Record the end of an attempt; log a failure, raised or returned."""
        if raised is not None and self.on_error is not None:
            self.on_error(raised)
        if end.state in ("retrying", "dead"):
            _log_failure(job, end, now, raised)
        self._record(job, _outcome(end), began, now)
        return end

    def _record(self, job: ClaimedJob, outcome: str, began: int, now: int) -> None:
        recorder = self.runtime.recorder
        if recorder:
            waited = max(0, began - job.run_at) / 1000
            recorder.job(job.actor, outcome, waited, (now - began) / 1000)


def run_in_order(
    run: Iterable[ClaimedJob],
    attempt: Callable[[ClaimedJob, Sequence[End]], tuple[Finish, float]],
    ends: list[tuple[Finish, float]],
    before: Sequence[End] = (),
) -> None:
    """Run jobs one after another until one is not finished; fill ``ends``, also if interrupted.

    The ends of jobs without a unit of work are stored with the effects of the next one, so that a
    crash cannot store the effects of a job and forget that an earlier one has run. ``before``: ends
    of the previous run that are perhaps not stored yet; the caller stores them too.
    """
    earlier = list(before)
    for job in run:
        ends.append(attempt(job, earlier))
        end = ends[-1][0]
        if end.state not in FINISHED:
            return
        if not end.stored:
            earlier.append((job, end))
            continue
        for index in range(max(len(ends) - 1 - len(earlier), 0), len(ends) - 1):
            ends[index] = (ends[index][0].as_stored(), ends[index][1])
        earlier.clear()


def end_of_outcome(
    runtime: DeliveryRuntime, job: ClaimedJob, actor: Actor, outcome: Outcome, now: int
) -> Finish:
    """Return the end of a job from its actor's result; TypeError if that is not an outcome."""
    if outcome is None:
        return Finish("completed", now, True, None)
    if isinstance(outcome, Snooze):
        delay = values.delay("Snooze.delay", outcome.delay)
        return Finish("scheduled", now + int(delay * 1000), False, None)
    if isinstance(outcome, Dead):
        return Finish("dead", now, True, bounded(outcome.reason))
    if isinstance(outcome, Retry):
        return _retry_or_dead(runtime, job, actor, bounded(outcome.reason), now, outcome.delay)
    raise TypeError(
        f"actor {actor.name} returned {type(outcome).__name__}; expected None, Retry,"
        " Snooze, Dead or Complete"
    )


def end_of_error(
    runtime: DeliveryRuntime, job: ClaimedJob, actor: Actor, error: BaseException
) -> Finish:
    """Return the end of a job after its attempt raised an error, or its outcome."""
    now = runtime.clock.now()
    if issubclass(type(error), Expired):
        return Finish("cancelled", now, False, EXPIRED)
    if _is_outcome(error):
        return end_of_outcome(runtime, job, actor, error, now)
    text = describe(error)
    if runtime.guard.is_outage(error):
        # The attempt is not counted, because no job can succeed without the service database.
        log.warning("database unavailable, job handed back", job_id=job.id, error=text)
        return Finish("scheduled", now + 1000, False, text)
    if is_fatal(error, actor.retry):
        return Finish("dead", now, True, text)
    return _retry_or_dead(runtime, job, actor, text, now)


def _is_outcome(error: BaseException) -> TypeGuard[Retry | Snooze | Dead]:
    # Not isinstance(), because it reads the error's __class__, which may be overridden.
    return issubclass(type(error), (Retry, Snooze, Dead))


def _is_no_failure(error: BaseException) -> bool:
    return _is_outcome(error) or issubclass(type(error), Expired)


def _outcome(end: Finish) -> str:
    """Return the outcome of an attempt for metrics and middleware."""
    if end.state == "cancelled" and end.error == EXPIRED:
        return EXPIRED
    return _OUTCOMES.get((end.state, end.counted), end.state)


def _retry_or_dead(
    runtime: DeliveryRuntime,
    job: ClaimedJob,
    actor: Actor,
    error: str,
    now: int,
    delay: float | None = None,
) -> Finish:
    """Return the end of a failed attempt; by default the retry policy sets the delay."""
    attempt = job.attempt + 1
    if attempt >= actor.retry.attempts:
        return Finish("dead", now, True, error)
    if delay is None:
        delay = actor.retry.delay(attempt, runtime.random)
    else:
        delay = values.delay("Retry.delay", delay)
    return Finish("retrying", now + int(delay * 1000), True, error)


def _log_failure(job: ClaimedJob, end: Finish, now: int, raised: BaseException | None) -> None:
    fields: dict[str, Any] = {
        "job_id": job.id,
        "actor": job.actor,
        "attempt": job.attempt + end.counted,
        "error": " ".join((end.error or "").split()),
    }
    if end.state == "dead":
        report(log.error, "job dead", raised, **fields)
        return
    retry_in = round((end.run_at - now) / 1000, 3)
    report(log.warning, "job failed", raised, **fields, retry_in=retry_in)


def give_back(runtime: DeliveryRuntime, ends: Sequence[End]) -> None:
    """Write the ends of jobs one by one after the database refused to store them together.

    *Bisection* finds the row that causes the error. That job fails; the other ends are written.
    After StorageUnavailable some ends may be written. Writing one again has no effect, because its
    claim has ended.
    """
    _halve(runtime, list(ends), _replace_end)


def _halve(
    runtime: DeliveryRuntime,
    ends: list[End],
    on_refused: Callable[[DeliveryRuntime, End, Exception], None],
) -> None:
    try:
        with runtime.database.session(), runtime.database.transaction() as tx:
            runtime.ledger.finish_many(tx, ends, runtime.clock.now())
    except StorageUnavailable:
        raise
    except Exception as error:
        if len(ends) == 1:
            on_refused(runtime, ends[0], error)
            return
        middle = len(ends) // 2
        _halve(runtime, ends[:middle], on_refused)
        _halve(runtime, ends[middle:], on_refused)


def _replace_end(runtime: DeliveryRuntime, end: End, error: Exception) -> None:
    job, refused = end
    text = f"the database refuses to store its end ({refused.state}): {describe(error)}"
    now = runtime.clock.now()
    actor = runtime.declared.actors.get(job.actor)
    replacement = Finish("dead", now, True, text)
    if actor is not None:
        replacement = _retry_or_dead(runtime, job, actor, text, now)
    log.error(
        "the end of a job cannot be written",
        job_id=job.id,
        actor=job.actor,
        attempt=job.attempt + 1,
        new_state=replacement.state,
        error=text,
    )
    _halve(runtime, [(job, replacement)], _log_unwritable)


def _log_unwritable(_runtime: DeliveryRuntime, end: End, error: Exception) -> None:
    """Log that a row cannot be written; its lease ends with this process."""
    job, _ = end
    log.error("a job cannot be given back", job_id=job.id, actor=job.actor, error=describe(error))


def run_message(
    actor: Actor,
    signature: Signature,
    services: Services,
    arguments: Mapping[str, Any],
    interrupts: tuple[type[BaseException], ...] = (),
) -> None:
    """Run an ephemeral actor once, with arguments as plain JSON types.

    Exceptions of the types ``interrupts`` are raised unchanged; others as :func:`loggable` returns
    them. Raises PayloadError if the arguments do not fit.
    """
    try:
        try:
            outcome = call_exiting_forks(actor.fn, services, **signature.convert(arguments))
        except (Retry, Snooze, Dead) as raised:
            outcome = raised
        if isinstance(outcome, Retry | Snooze | Dead | Complete):
            raise TypeError(
                f"the outcome of the ephemeral actor {actor.name} is {type(outcome).__name__};"
                " outcomes are for durable actors: raise an exception, or make the actor durable"
            )
    except BaseException as error:  # an actor may raise anything, even SystemExit
        if issubclass(type(error), (failpoints.Crash, *interrupts)):
            raise
        kept = loggable(error)
        if kept is error:
            raise
        raise kept from None
