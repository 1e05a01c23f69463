"""Makes actors of rolehost from Dramatiq's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.errors import RateLimitExceeded
from dramatiq.middleware import SkipMessage, TimeLimit, TimeLimitExceeded
from rolehost.api import (
    Actor,
    Dead,
    JobContext,
    Outcome,
    ProcessContext,
    Retry,
    RetryPolicy,
    Services,
    StorageUnavailable,
)

from rolehost_dramatiq.broker import LedgerBroker

log = logging.getLogger(__name__)

#: Dramatiq's middleware decides how often a message is retried.
_BY_MIDDLEWARE = RetryPolicy(attempts=2**31 - 1)
#: Failures of an actor. Other interrupts come from the host, which hands the job back.
_FAILURES = (Exception, TimeLimitExceeded, SystemExit, GeneratorExit)
#: Failures that an actor raises on purpose.
_EXPECTED = (dramatiq.Retry, RateLimitExceeded)


class DramatiqActors:
    """The contributed actors of one code base; a plugin passes its hooks on to it.

    Args:
        sources: actors, or modules whose actors are contributed. All have the same broker.

    Raises:
        TypeError: a source is neither an actor nor a module.
        ValueError: a module has no actors, or two actors have different brokers.

    Example::

        existing = DramatiqActors(tasks)

        @hookimpl
        def rolehost_plugin():
            return PluginInfo(enqueues=existing.names, api=2)

        @hookimpl
        def rolehost_actors():
            return existing.actors

        @hookimpl
        def rolehost_start(context):
            existing.start(context)

        @hookimpl
        def rolehost_stop(context):
            existing.stop(context)
    """

    def __init__(self, *sources: dramatiq.Actor[..., Any] | ModuleType) -> None:
        found = {each.actor_name: each for source in sources for each in _actors(source)}
        brokers = {id(each.broker): each.broker for each in found.values()}
        if len(brokers) != 1:
            raise ValueError(
                f"expected actors of one Dramatiq broker, got {len(brokers)} brokers"
                f" of {', '.join(sorted(found)) or 'no actors'}"
            )
        (self._replaced,) = brokers.values()
        self._found = found
        self._made = {name: self._make(each) for name, each in found.items()}
        #: The broker of the actors while they are connected.
        self.broker = LedgerBroker(
            self._replaced, {name: (each, self._made[name]) for name, each in found.items()}
        )
        self._booted = False

    @property
    def actors(self) -> Sequence[Actor[..., Any]]:
        """The actors of rolehost, for ``rolehost_actors``."""
        return list(self._made.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the actors, for ``PluginInfo.enqueues``."""
        return tuple(self._made)

    def start(self, context: ProcessContext[Any]) -> None:
        """Connect the actors to this process; in a worker, boot Dramatiq's middleware."""
        self.connect(context.services)
        if context.role == "worker":
            self.broker.emit_after("process_boot")
            self._emit("worker_boot", None)
            self._booted = True

    def stop(self, context: ProcessContext[Any]) -> None:
        """Undo :meth:`start`. Idempotent."""
        del context
        if self._booted:
            self._booted = False
            self._emit("worker_shutdown", None)
        self.broker.services = None
        self._set_broker(self._replaced)
        if dramatiq.broker.global_broker is self.broker:
            dramatiq.set_broker(self._replaced)

    def connect(self, services: Services) -> None:
        """Send messages of this process to the ledger.

        :meth:`start` does it. Call it in a process that rolehost does not start, with
        services that were made for it.
        """
        self.broker.services = services
        self._set_broker(self.broker)
        # Pipelines and groups use the global broker.
        dramatiq.set_broker(self.broker)

    def _set_broker(self, broker: dramatiq.Broker) -> None:
        for each in self._found.values():
            each.broker = broker

    def _emit(self, signal: str, *args: Any) -> None:
        self.broker.emit_before(signal, *args)
        self.broker.emit_after(signal, *args)

    def _make(self, existing: dramatiq.Actor[..., Any]) -> Actor[..., Any]:
        """Return the actor of rolehost that runs an actor of Dramatiq."""

        def run(
            job: JobContext,
            args: list[Any],
            kwargs: dict[str, Any],
            options: dict[str, Any],
            message_id: str,
            message_timestamp: int,
        ) -> Outcome:
            # Dramatiq counts retries in an option of the message, which it sends again.
            retries = {"retries": job.attempt - 1} if job.attempt > 1 else {}
            message: dramatiq.Message[Any] = dramatiq.Message(
                existing.queue_name,
                existing.actor_name,
                tuple(args),
                kwargs,
                options | retries,
                message_id,
                message_timestamp,
            )
            return self._process(job, existing, MessageProxy(message))

        limit = existing.options.get("time_limit", self._time_limit)
        return Actor(
            fn=run,
            name=existing.actor_name,
            queue=existing.queue_name,
            priority=existing.priority,
            retry=_BY_MIDDLEWARE,
            time_limit=None if limit == float("inf") else limit / 1000,
        )

    @property
    def _time_limit(self) -> float:
        """The time limit of actors without the option, milliseconds."""
        found = [each for each in self._replaced.middleware if isinstance(each, TimeLimit)]
        return found[0].time_limit if found else float("inf")

    def _process(
        self, job: JobContext, actor: dramatiq.Actor[..., Any], message: MessageProxy
    ) -> Outcome:
        """Process a message as Dramatiq's worker does; return the outcome of its job."""
        broker = self.broker
        try:
            broker.emit_before("process_message", message)
            result = actor(*message.args, **message.kwargs)
        except SkipMessage as error:
            if message.failed:
                message.stuff_exception(error)
            broker.emit_after("skip_message", message)
            return self._acknowledge(message, f"skipped: {error}")
        except StorageUnavailable:
            raise  # the host counts no attempt if it was the service database
        except _FAILURES as error:
            # The middleware may send messages, for example to a callback: they commit with the
            # outcome, and what the actor has written does not.
            job.roll_back()
            return self._fail(actor, message, error)
        broker.emit_after("process_message", message, result=result)
        return self._acknowledge(message, "")

    def _fail(
        self, actor: dramatiq.Actor[..., Any], message: MessageProxy, error: BaseException
    ) -> Outcome:
        """Let the middleware decide about a failed attempt."""
        throws = actor.options.get("throws", ())
        if not isinstance(
            error, (*_EXPECTED, *(throws if isinstance(throws, tuple) else [throws]))
        ):
            log.warning("actor %s failed", actor.actor_name, exc_info=error)
        message.stuff_exception(error)
        with self.broker.processing(message) as current:
            self.broker.emit_after("process_message", message, exception=error)
        reason = _described(error)
        if current.again_in is not None:
            return Retry(reason, current.again_in / 1000)
        return self._acknowledge(message, reason)

    def _acknowledge(self, message: MessageProxy, reason: str) -> Outcome:
        self._emit("nack" if message.failed else "ack", message)
        return Dead(reason) if message.failed else None


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # the text of an exception may raise
        return type(error).__name__


def _actors(source: object) -> list[dramatiq.Actor[..., Any]]:
    if isinstance(source, dramatiq.Actor):
        return [source]
    if not isinstance(source, ModuleType):
        raise TypeError(f"expected a Dramatiq actor or a module with actors, got {source!r:.80}")
    found = [each for _, each in inspect.getmembers(source) if isinstance(each, dramatiq.Actor)]
    if not found:
        raise ValueError(f"the module {source.__name__} has no Dramatiq actors")
    return found
