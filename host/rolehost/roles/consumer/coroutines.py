"""Runs the coroutines of asynchronous handlers (:mod:`rolehost.roles.coroutines`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rolehost.delivery.attempts import EVENT_ID, GROUP, Attempts, Delivery
from rolehost.delivery.coroutines import EndedCoroutine, Stopping
from rolehost.roles.consumer.assignments import Assignment
from rolehost.roles.coroutines import Running


def running(
    attempts: Attempts,
    delivery: Delivery,
    on_end: Callable[[], object],
    assignment: Assignment | None = None,
) -> Running:
    """Return the attempt of a delivery, whose coroutine :class:`.Coroutines` can run.

    ``on_end`` is called in the thread of the loop when the delivery has its ``coroutine``. The key
    of the attempt begins with the ``assignment``, which is None for a parked event.
    """
    handler, identity = attempts.handler, delivery.identity

    def begin() -> Any:
        if assignment is not None and assignment.revoked.is_set():
            raise Stopping
        return attempts.begin(delivery)

    def end(ended: EndedCoroutine) -> None:
        delivery.coroutine = ended
        on_end()

    return Running(
        (assignment, id(delivery)),
        f"{handler.name} (event {identity})",
        {EVENT_ID: identity, GROUP: handler.group},
        handler.time_limit,
        partial(attempts.enter, identity, delivery.attempt),
        begin,
        end,
    )
