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

from rolehost_redis.held import HeldMessages
from rolehost_redis.messages import TakenMessage

log = logging.getLogger(__name__)

#: Seconds after which a consumer polls without a wake-up, because Redis may have refused one.
_MAX_WAIT = 10.0
#: Seconds between two polls while Redis is away; listeners are woken when it is back.
_RETRY_AFTER = 1.0
#: Seconds after which messages that were taken ahead and not handed out are given back.
_MAX_READY_AGE = 0.2
#: Seconds that an acknowledgement may wait for others, to be sent together.
_ACK_DELAY = 0.02


class RedisConsumer(Consumer):
    """Iterated by one thread, acknowledged by any.

    An outage of Redis ends nothing: messages that were taken still run, and acknowledgements are
    sent when Redis is back.

    Args:
        held: the messages of the queue that this process holds.
        listener: woken by messages of the queue.
        prefetch: most messages that are handed out and not acknowledged.
        timeout: seconds after which an idle iteration ends.
    """

    def __init__(
        self, held: HeldMessages, listener: Listener, prefetch: int, timeout: float
    ) -> None:
        self._held = held
        self._listener = listener
        self._prefetch = prefetch
        self._pace = Prefetch(prefetch)
        self._timeout = timeout
        self._lease_losses = held.lease_losses
        self._ready: deque[_Proxy] = deque()
        self._running: set[bytes] = set()
        #: time.monotonic() before which nothing is due, unless there is a wake-up.
        self._poll_at = 0.0
        self._waiting = False
        self._unreachable = False
        self._stale_at = 0.0

    def __next__(self) -> MessageProxy | None:
        deadline = time.monotonic() + self._timeout
        while True:
            if self._ready:
                if (
                    self._lease_losses != self._held.lease_losses
                    or time.monotonic() > self._stale_at
                ):
                    # Other processes may have these messages by now; or earlier messages ran for
                    # longer than expected, and some with a higher priority may wait.
                    self._drop_ready()
                    self._poll_at = 0.0
                elif len(self._running) < self._prefetch:
                    message = self._ready.popleft()
                    self._running.add(message.number)
                    return message
            now = time.monotonic()
            if self._may_take() and now >= self._poll_at:
                self._take()
                continue
            if now >= deadline:
                self._send_acks()
                return None
            self._wait(now, deadline)

    def _may_take(self) -> bool:
        return not self._ready and len(self._running) < self._prefetch

    def _wait(self, now: float, deadline: float) -> None:
        """Wait for a wake-up, a free place, or the time at which a message is due."""
        full = len(self._running) >= self._prefetch
        # From here on acknowledgements interrupt the wait; earlier ones are seen below.
        self._waiting = True
        try:
            until = deadline if full or self._ready else min(deadline, self._poll_at)
            if self._held.has_changes and not self._unreachable:
                until = min(until, now + _ACK_DELAY)
            if full and len(self._running) < self._prefetch:
                return
            woken = self._listener.wait(max(until - now, 0.001))
        finally:
            self._waiting = False
        if woken:
            self._poll_at = 0.0
        elif time.monotonic() >= until:
            self._send_acks()

    def _take(self) -> None:
        """Take messages that are due, and note when more may be due."""
        most = self._pace.wanted(len(self._running))
        try:
            taken, due = self._held.exchange(most)
            self._stale_at = time.monotonic() + _MAX_READY_AGE
            self._lease_losses = self._held.lease_losses
            for each in taken:
                self._decode(each)
        except StorageError as error:
            self._report_outage(error)
            self._poll_at = time.monotonic() + _RETRY_AFTER
            return
        if self._unreachable:
            self._unreachable = False
            log.info("messages of %s are taken again", self._held)
        self._poll_at = time.monotonic() + min(_MAX_WAIT if due is None else due, _MAX_WAIT)

    def _send_acks(self) -> None:
        """Send the acknowledgements to Redis."""
        if self._held.has_changes and not self._unreachable:
            try:
                self._held.exchange(0)
            except StorageError as error:
                self._report_outage(error)

    def _report_outage(self, error: StorageError) -> None:
        if not self._unreachable:
            self._unreachable = True
            log.warning("no messages of %s are taken: %s", self._held, error)

    def _decode(self, taken: TakenMessage) -> None:
        """Make a message ready, or a dead message if it cannot be decoded."""
        try:
            message = dramatiq.Message.decode(taken.data)
        except Exception as error:  # the encoder may raise anything for foreign bytes
            try:
                self._held.move_to_dead(taken.number, shortened(f"undecodable: {error}"))
            except StorageError:
                self._held.give_back((taken.number,))
        else:
            self._ready.append(_Proxy(self._held, taken, message))

    def ack(self, message: MessageProxy) -> None:
        """Record that a message is done; Redis gets the acknowledgement with the next exchange.

        The acknowledgement of a possible poison message is sent at once. Otherwise a later crash
        of this process would count against it. A message that another process has by now, and
        that did not run here, is not acknowledged.
        """
        first = message.lost or self._held.finish(message.number)
        if message.crashes is not None:
            with contextlib.suppress(StorageError):
                self._held.exchange(0)
        self._remove_running(message.number, first)

    def nack(self, message: MessageProxy) -> None:
        """Make a rejected message a dead message."""
        try:
            self._held.move_to_dead(message.number, rejection(message))
        except StorageError as failure:
            raise ConnectionClosed(failure) from failure
        self._remove_running(message.number, False)

    def _remove_running(self, number: bytes, first: bool) -> None:
        self._running.discard(number)
        self._pace.finished()
        if self._waiting and (first or len(self._running) * 4 <= self._prefetch * 3):
            self._listener.interrupt()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back messages that were not run, as soon as Redis answers."""
        numbers = [message.number for message in messages]
        self._running.difference_update(numbers)
        self._held.give_back(numbers)
        with contextlib.suppress(StorageError):
            self._held.exchange(0)

    def close(self) -> None:
        """Give back the messages that were not handed out."""
        self._listener.close()
        self._drop_ready()
        if self._held.has_changes:
            with contextlib.suppress(StorageError):
                self._held.exchange(0)

    def _drop_ready(self) -> None:
        self._held.give_back([message.number for message in self._ready])
        self._ready.clear()
        self._lease_losses = self._held.lease_losses


class _Proxy(MessageProxy):
    """A message, its number, and how many processes died running it."""

    def __init__(
        self, held: HeldMessages, taken: TakenMessage, message: dramatiq.Message[Any]
    ) -> None:
        super().__init__(message)
        self.number = taken.number
        #: See :meth:`rolehost.api.Queue.broker`.
        self.crashes = taken.crashes
        self.lost = False
        self._held = held

    def start(self) -> bool:
        """Record that the message runs from now on; False if another process has it.

        Raises:
            StorageError: Redis did not answer.
        """
        self.lost = not self._held.start(self.number)
        return not self.lost
