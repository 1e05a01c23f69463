"""Dramatiq middleware for ephemeral messages: poison messages, and log lines of failures.

The broker of the queue backend counts the processes that died while they ran a message, as the
ledger does for jobs; see ``max_crashes`` of an actor.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Middleware, Shutdown, SkipMessage

from rolehost.api.actors import Actor
from rolehost.errors import StorageError
from rolehost.failures import describe

log = structlog.get_logger(__name__)

#: Loggers of Dramatiq that log failures too, in several lines and without the attempt.
REPLACED_LOGGERS = ("dramatiq.worker.WorkerThread", "dramatiq.middleware.retries.Retries")


class Crashed(SkipMessage):
    """A message became a dead letter: it killed as many processes as its actor allows."""


class ClaimLost(SkipMessage):
    """This process seemed dead and lost its claim on a message: another process has the message."""


class PoisonMessages(Middleware):
    """Dead-letters poison messages, and runs suspects one at a time. Thread-safe.

    The attribute ``crashes`` of a message is the number of processes that died while they ran it.
    Above 0, the message is a suspect: it waits until no other suspect runs in this process, so
    that it alone can cause the next crash. The start of a message is recorded before it runs.
    ``on_dead_letter`` is called with the actor's name for each message that becomes a dead letter.
    Messages without the attribute or for actors that are not in ``actors`` are not checked.
    """

    def __init__(
        self, actors: Mapping[str, Actor], on_dead_letter: Callable[[str], None] = lambda _: None
    ) -> None:
        self._actors = actors
        self._on_dead_letter = on_dead_letter
        self._quarantine = threading.Lock()
        self._suspect_thread: int | None = None  # the thread that holds the lock

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        """Check a message that is about to run; :class:`Crashed` and :class:`ClaimLost` skip it."""
        del broker
        self._end_quarantine()  # in case the previous message could not be acknowledged
        crashes = getattr(message, "crashes", None)
        actor = self._actors.get(message.actor_name) if crashes is not None else None
        if crashes is None or actor is None:
            return
        if crashes >= actor.max_crashes:
            self._on_dead_letter(actor.name)
            log.error("message dead", actor=actor.name, queue=message.queue_name, crashes=crashes)
            message.fail()
            raise Crashed(f"its process died {crashes} times while running it")
        if crashes:
            self._quarantine.acquire()
            self._suspect_thread = threading.get_ident()
        try:
            ours = message.start()
        except StorageError as error:
            # The message runs anyway, like every message that was taken before the queue failed.
            log.warning("start not recorded", actor=message.actor_name, error=str(error))
            ours = True
        if not ours:
            raise ClaimLost("the message was given to another process meanwhile")

    def after_ack(self, broker: dramatiq.Broker, message: Any) -> None:
        """Let the next suspect run: this message is done, or a dead letter."""
        del broker, message
        self._end_quarantine()

    after_nack = after_ack

    def _end_quarantine(self) -> None:
        if self._suspect_thread is not None and self._suspect_thread == threading.get_ident():
            self._suspect_thread = None
            self._quarantine.release()


class FailureLog(Middleware):
    """Logs each failed attempt in one line.

    It stands before Retries in the list, so its ``after_`` hook runs later and sees the retry.
    ``actors`` are the ephemeral actors. If any other actor fails, the error is in the host.
    """

    def __init__(self, actors: Collection[str]) -> None:
        self._actors = frozenset(actors)
        self._retry = threading.local()
        for name in REPLACED_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def before_enqueue(self, broker: dramatiq.Broker, message: Any, delay: int | None) -> None:
        """Record that this thread's message is retried; ``delay`` in milliseconds."""
        del broker
        self._retry.of = (message.message_id, delay or 0)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Log why an attempt failed, and whether there is another one."""
        del broker, result
        identity, delay = getattr(self._retry, "of", ("", 0))
        self._retry.of = ("", 0)
        again = identity == message.message_id
        if exception is None or isinstance(exception, SkipMessage):
            return
        if again and isinstance(exception, Shutdown):
            return  # a drain is not a failure
        if message.actor_name not in self._actors:
            log.error(
                "running jobs failed, continuing", queue=message.queue_name, exc_info=exception
            )
            return
        fields = {
            "actor": message.actor_name,
            "message_id": message.message_id,
            "attempt": message.options.get("retries", 0),
            "error": " ".join(describe(exception).split()),
            "exc_info": exception,
        }
        if again:
            log.warning("message failed", retry_in=round(delay / 1000, 3), **fields)
        else:
            log.error("message dead", **fields)
