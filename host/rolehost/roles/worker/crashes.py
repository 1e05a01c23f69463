"""What is done about ephemeral messages that processes died running.

The queue backend's broker counts, as the ledger does of jobs; see ``max_crashes`` of an actor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Middleware, SkipMessage

from rolehost.api.contributions import Actor
from rolehost.errors import StorageError

log = structlog.get_logger(__name__)


class Crashed(SkipMessage):
    """A message is given up: as many processes died running it as its actor allows."""


class NotOurs(SkipMessage):
    """A message was given to another process, for this one was taken for dead."""


class Crashes(Middleware):
    """Gives up what killed too many processes, and runs what killed one alone. Thread-safe.

    A message that a process held when it died is suspect. Its start is recorded before it runs;
    once it was charged, it runs when no other such message runs in this process, so that a second
    crash is its own. Any other message costs one look.

    Args:
        actors: the ephemeral ones, by name; of others the messages are let through.
        given_up: called with the name of the actor of each message that is given up.
    """

    def __init__(
        self, actors: Mapping[str, Actor], given_up: Callable[[str], None] = lambda _: None
    ) -> None:
        self._actors = actors
        self._given_up = given_up
        self._quarantine = threading.Lock()
        self._inside: int | None = None  # the thread that runs a charged one

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        """Look at a message that is about to run.

        Raises:
            Crashed: it is not run, and given up.
            NotOurs: it is not run, for others have it.
        """
        del broker
        self._leave()  # one that could not be acknowledged
        crashes = getattr(message, "crashes", None)
        actor = self._actors.get(message.actor_name) if crashes is not None else None
        if crashes is None or actor is None:
            return
        if crashes >= actor.max_crashes:
            self._given_up(actor.name)
            log.error("message dead", actor=actor.name, queue=message.queue_name, crashes=crashes)
            message.fail()
            raise Crashed(f"its process died {crashes} times while running it")
        if crashes:
            self._quarantine.acquire()
            self._inside = threading.get_ident()
        if not self._start(message):
            raise NotOurs("it was given to another process meanwhile")

    def _start(self, message: Any) -> bool:
        try:
            ours: bool = message.start()
        except StorageError as error:
            # What was taken is run, as all is while the queue is away.
            log.warning("start not recorded", actor=message.actor_name, error=str(error))
            return True
        return ours

    def after_ack(self, broker: dramatiq.Broker, message: Any) -> None:
        """Let the next one that was charged run; this one is told to be done."""
        del broker, message
        self._leave()

    def after_nack(self, broker: dramatiq.Broker, message: Any) -> None:
        """Let the next one that was charged run; this one is a dead message."""
        del broker, message
        self._leave()

    def _leave(self) -> None:
        if self._inside is not None and self._inside == threading.get_ident():
            self._inside = None
            self._quarantine.release()
