"""Hands out the messages of one queue to a Dramatiq worker."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed
from rolehost.api import Listener, StorageError
from rolehost.api.broker import Prefetch, rejection, shortened

from rolehost_redis.holding import Holding
from rolehost_redis.messages import TakenMessage

log = logging.getLogger(__name__)

#: Seconds after which a consumer looks although nobody woke it; for wake-ups that Redis refused.
_LONGEST = 10.0
#: Seconds between two looks while Redis is away; who listens is woken when it is back.
_OUTAGE = 1.0
#: Seconds after which what was taken ahead and is not handed out is given back.
_STALE = 0.2
#: Seconds an acknowledgement may wait for others to go with it, while messages run.
_GATHER = 0.02


class RedisConsumer(Consumer):
    """Iterated by one thread, acknowledged by any.

    An outage ends nothing: what was taken stays with Dramatiq, what is acknowledged meanwhile
    is told to Redis when it is back.

    Args:
        holding: this process's part of the queue.
        listener: woken by messages of the queue.
        prefetch: most messages that are handed out and not acknowledged.
        timeout: seconds after which an idle iteration ends.
    """

    def __init__(self, holding: Holding, listener: Listener, prefetch: int, timeout: float) -> None:
        self._holding = holding
        self._listener = listener
        self._prefetch = prefetch
        self._pace = Prefetch(prefetch)
        self._timeout = timeout
        self._lives = holding.lives
        self._ready: deque[_Proxy] = deque()
        self._running: set[bytes] = set()
        #: time.monotonic() before which nothing is due unless a wake-up says so.
        self._look_at = 0.0
        self._waiting = False
        self._away = False
        self._stale_at = 0.0

    def __next__(self) -> MessageProxy | None:
        deadline = time.monotonic() + self._timeout
        while True:
            if self._ready:
                if self._lives != self._holding.lives or time.monotonic() > self._stale_at:
                    # Others may have these, or should: they were taken for quick ones, and
                    # meanwhile some may wait that come first.
                    self._drop_ready()
                    self._look_at = 0.0
                elif len(self._running) < self._prefetch:
                    message = self._ready.popleft()
                    self._running.add(message.number)
                    return message
            now = time.monotonic()
            if self._may_take() and now >= self._look_at:
                self._fill()
                continue
            if now >= deadline:
                self._settle()
                return None
            self._wait(now, deadline)

    def _may_take(self) -> bool:
        return not self._ready and len(self._running) < self._prefetch

    def _wait(self, now: float, deadline: float) -> None:
        """Wait for a wake-up, a free place, or the time at which something is due."""
        full = len(self._running) >= self._prefetch
        # From here on acknowledgements interrupt; what they did before is seen below.
        self._waiting = True
        try:
            until = deadline if full or self._ready else min(deadline, self._look_at)
            if self._holding.unsettled and not self._away:
                until = min(until, now + _GATHER)
            if full and len(self._running) < self._prefetch:
                return
            woken = self._listener.wait(max(until - now, 0.001))
        finally:
            self._waiting = False
        if woken:
            self._look_at = 0.0
        elif time.monotonic() >= until:
            self._settle()

    def _fill(self) -> None:
        """Take what is due, and note when more may be."""
        most = self._pace.wanted(len(self._running))
        try:
            taken, due = self._holding.exchange(most)
            self._stale_at = time.monotonic() + _STALE
            self._lives = self._holding.lives
            for each in taken:
                self._decode(each)
        except StorageError as error:
            self._lost(error)
            self._look_at = time.monotonic() + _OUTAGE
            return
        if self._away:
            self._away = False
            log.info("messages of %s are taken again", self._holding)
        self._look_at = time.monotonic() + min(_LONGEST if due is None else due, _LONGEST)

    def _settle(self) -> None:
        """Tell Redis what is done, when that has waited long enough."""
        if self._holding.unsettled and not self._away:
            try:
                self._holding.exchange(0)
            except StorageError as error:
                self._lost(error)

    def _lost(self, error: StorageError) -> None:
        if not self._away:
            self._away = True
            log.warning("no messages of %s are taken: %s", self._holding, error)

    def _decode(self, taken: TakenMessage) -> None:
        """Make a message ready; put it aside when its bytes are none."""
        try:
            message = dramatiq.Message.decode(taken.data)
        except Exception as error:  # whatever the encoder raises for bytes of others
            try:
                self._holding.bury(taken.number, shortened(f"undecodable: {error}"))
            except StorageError:
                self._holding.give_back((taken.number,))
        else:
            self._ready.append(_Proxy(self._holding, taken, message))

    def ack(self, message: MessageProxy) -> None:
        """Note that a message is done; Redis is told with the next exchange.

        Of a suspect it is told at once, so that it is not charged with what comes next. One that
        others have by now, and that was not run here, is theirs to finish.
        """
        first = message.lost or self._holding.finish(message.number)
        if message.crashes is not None:
            with contextlib.suppress(StorageError):
                self._holding.exchange(0)
        self._done(message.number, first)

    def nack(self, message: MessageProxy) -> None:
        """Keep a rejected message among the dead ones."""
        try:
            self._holding.bury(message.number, rejection(message))
        except StorageError as failure:
            raise ConnectionClosed(failure) from failure
        self._done(message.number, False)

    def _done(self, number: bytes, first: bool) -> None:
        self._running.discard(number)
        self._pace.finished()
        if self._waiting and (first or len(self._running) * 4 <= self._prefetch * 3):
            self._listener.interrupt()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back that were not run; without Redis once it is there again."""
        numbers = [message.number for message in messages]
        self._running.difference_update(numbers)
        self._holding.give_back(numbers)
        with contextlib.suppress(StorageError):
            self._holding.exchange(0)

    def close(self) -> None:
        """Give back what was not handed out."""
        self._listener.close()
        self._drop_ready()
        if self._holding.unsettled:
            with contextlib.suppress(StorageError):
                self._holding.exchange(0)

    def _drop_ready(self) -> None:
        self._holding.give_back([message.number for message in self._ready])
        self._ready.clear()
        self._lives = self._holding.lives


class _Proxy(MessageProxy):
    """A message, its number, and how many processes died running it."""

    def __init__(
        self, holding: Holding, taken: TakenMessage, message: dramatiq.Message[Any]
    ) -> None:
        super().__init__(message)
        self.number = taken.number
        #: See :meth:`rolehost.api.Queue.broker`.
        self.crashes = taken.crashes
        self.lost = False
        self._holding = holding

    def start(self) -> bool:
        """Record that it runs from now on; False: others have it.

        Raises:
            StorageError: Redis did not answer.
        """
        self.lost = not self._holding.start(self.number)
        return not self.lost
