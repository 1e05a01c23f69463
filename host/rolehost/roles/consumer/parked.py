"""Retries the parked events of a consumer group (:mod:`rolehost.delivery.parking`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from rolehost.delivery.attempts import Delivery
from rolehost.delivery.handling import Handling
from rolehost.delivery.parking import Claim, Parking
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.errors import StorageError
from rolehost.roles.consumer.coroutines import running
from rolehost.roles.consumer.lanes import Lanes

#: Maximum number of events of a lane that are handled before other lanes have their turn.
MOST_IN_TURN = 50

#: Seconds until the next try to claim a lane that another transaction has locked.
LOCKED = 0.05

#: Calls a function until it succeeds; returns False if the process stops before.
UntilDone = Callable[[Callable[[], object]], bool]


class ParkedEvents:
    """Claims parked lanes that are due, and submits them to the ``lanes`` of the process.

    ``places`` bounds the claims. :meth:`step` and :meth:`patience` are called by the thread of the
    group; ``interrupt`` ends the wait of that thread.
    """

    def __init__(
        self,
        runtime: DeliveryRuntime,
        group: str,
        owner: str,
        lanes: Lanes,
        places: threading.Semaphore,
        until_done: UntilDone,
        interrupt: Callable[[], object],
    ) -> None:
        self.parking = Parking(runtime, group, owner, self._schedule)
        self._runtime = runtime
        self._lanes = lanes
        self._places = places
        self._until_done = until_done
        self._interrupt = interrupt
        #: When to claim lanes next, and when lanes of dead processes too; monotonic seconds.
        self._claim_at = self._search_at = 0.0
        self._lock = threading.Lock()

    def patience(self, most: float) -> float:
        """Return the seconds until lanes are claimed next, at most ``most``."""
        return max(0.0, min(most, self._claim_at - time.monotonic()))

    def step(self, handlings: Mapping[str, Handling]) -> None:
        """Claim the lanes that are due, if it is time to, and submit them.

        ``handlings`` has the handling of each topic of the group.
        """
        now = time.monotonic()
        if now < self._claim_at:
            return
        runtime = self._runtime
        with self._lock:
            # From here on another thread can bring the next claim forward.
            self._claim_at = now + runtime.policy.poll
        with runtime.database.session():
            due, held = self.parking.due_in(handlings)
            searches = held and now >= self._search_at
            if searches:
                self._search_at = now + runtime.policy.poll
            if due == 0 or searches:
                due = None if self._claim(handlings) else self.parking.due_in(handlings)[0]
                # A lane that is due, but was not claimed, is locked by another transaction.
                due = None if due is None else max(due, LOCKED)
        if due is not None:
            self._schedule(due, interrupt=False)

    def _claim(self, handlings: Mapping[str, Handling]) -> bool:
        """Claim lanes; return whether no more may run; the end of one causes the next claim."""
        places = self._places
        while places.acquire(blocking=False):
            claim = None
            try:
                claim = self.parking.claim(handlings)
            finally:
                if claim is None:
                    places.release()
            if claim is None:
                return False
            self._lanes.submit([(None, partial(self._run, claim, handlings[claim.topic]))])
        return True

    def _run(
        self, claim: Claim, handling: Handling, turn: int = 0, delivery: Delivery | None = None
    ) -> None:
        """Handle the events of a claimed lane until one fails; runs in a thread of the lanes.

        ``turn``: how many were handled. ``delivery``: the first event, after its coroutine.
        """
        goes_on = [True]

        def handle() -> None:
            goes_on[0] = handling.handle_parked(claim, delivery)

        for number in range(turn, MOST_IN_TURN):
            if delivery is None and self._begin(claim, handling, number):
                return
            done = self._until_done(handle)
            delivery = None
            if not done or not goes_on[0]:
                break
        else:
            self._until_done(partial(self._release, claim))
        self.parking.forget(claim)
        self._places.release()
        self._schedule(0.0)

    def _begin(self, claim: Claim, handling: Handling, turn: int) -> bool:
        """Begin the coroutine of the first event; False: a thread must handle the event."""
        loop = self._lanes.coroutines
        if loop is None or not handling.is_async or claim.suspect:
            return False
        with suppress(StorageError):
            delivery = handling.first_parked(claim)
            if delivery is not None and handling.decoded(delivery):
                go_on = partial(self._run, claim, handling, turn, delivery)
                loop.start([running(handling, delivery, partial(self._lanes.resume, None, go_on))])
                return True
        return False

    def _release(self, claim: Claim) -> None:
        with self._runtime.database.session(), self._runtime.database.transaction() as tx:
            self.parking.release(tx, claim)

    def _schedule(self, seconds: float, *, interrupt: bool = True) -> None:
        """Claim lanes in some seconds, unless sooner anyway."""
        with self._lock:
            at = time.monotonic() + seconds
            sooner = at < self._claim_at
            self._claim_at = min(at, self._claim_at)
        if sooner and interrupt:
            self._interrupt()
