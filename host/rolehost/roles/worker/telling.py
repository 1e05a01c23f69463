"""One log line for each failed attempt at an ephemeral message, in place of Dramatiq's two."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Middleware, Shutdown, SkipMessage

from rolehost.delivery.failures import describe

log = structlog.get_logger(__name__)

#: Dramatiq's loggers that tell the same: in several lines, and without the attempt.
REPLACED = ("dramatiq.worker.WorkerThread", "dramatiq.middleware.retries.Retries")


class Telling(Middleware):
    """Tells of failed messages; stands before Retries, so that it hears of its decision.

    Args:
        actors: names of the ephemeral ones; whatever else fails is the host's own.
    """

    def __init__(self, actors: Collection[str]) -> None:
        self._actors = frozenset(actors)
        self._retry = threading.local()

    def before_enqueue(self, broker: dramatiq.Broker, message: Any, delay: int | None) -> None:
        """Note that the message of this thread is to be tried again; milliseconds."""
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
        """Tell how an attempt failed, and whether there is another one."""
        del broker, result
        identity, delay = getattr(self._retry, "of", ("", 0))
        self._retry.of = ("", 0)
        again = identity == message.message_id
        if exception is None or isinstance(exception, SkipMessage):
            return
        if again and isinstance(exception, Shutdown):
            return  # a drain is no failure
        if message.actor_name not in self._actors:
            log.error("running jobs failed, going on", queue=message.queue_name, exc_info=exception)
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
