"""Handlers: functions that handle the events of a topic."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from rolehost.api import values
from rolehost.api.retries import RetryPolicy
from rolehost.api.variables import P, R_co

Q = ParamSpec("Q")
R = TypeVar("R")

#: Later events of the key wait, so the default delays are short: half a minute in total.
EVENT_RETRY = RetryPolicy(attempts=6, delays=(0.1, 0.5, 2.0, 8.0, 20.0))

#: The default of ``Handler.time_limit``, seconds.
EVENT_TIME_LIMIT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[P, R_co]):
    """A function that handles the events of a topic; made with the decorator :func:`handler`.

    Attributes:
        fn: called with an :class:`EventContext` and an :class:`Event` (if ``batch`` > 1, with a
            list of events). A unit of work that the function opens commits together with the
            record that the event is handled (*inbox*), so its effects happen once for each event.
            It may be an ``async def``: then its coroutines run at the same time, as many as
            ``[consumer] in_flight`` allows, and a :class:`Complete` that it returns has the unit of
            work; see ``docs/jobs.md``.
        name: unique in the deployment.
        topic: topic whose events it handles.
        group: consumer group. Every group gets every event.
        payload: type that ``event.data`` is decoded to; ``bytes`` (the default): not decoded.
        batch: maximum number of events in one call. 1 (the default): a single event; events of one
            key are handled one after the other.
        retry: policy of retries. A failed event is *parked* in the service database until its next
            attempt, and so are later events of its key, which keep their order; other events go
            on. After the last attempt the event becomes a dead letter.
        max_crashes: the event becomes a dead letter after ``max_crashes`` + 1 processes died while
            they handled it; see :class:`Actor`.
        grouped: True: events share a transaction (*group commit*), each behind a savepoint; see
            :attr:`Actor.grouped`. The events of a topic are handled one after another. Not allowed
            with ``batch`` > 1.
        time_limit: seconds after which an attempt of an ``async def`` is cancelled and has failed;
            None: never. A synchronous handler is not interrupted.

    Raises:
        TypeError: ``grouped`` is not a bool.
        ValueError: two of ``grouped``, ``batch`` > 1 and an ``async def``; or a ``time_limit``
            of a synchronous handler.
    """

    fn: Callable[P, R_co]
    name: str
    topic: str
    group: str
    payload: Any = bytes
    batch: int = 1
    retry: RetryPolicy = EVENT_RETRY
    max_crashes: int = 3
    grouped: bool = False
    time_limit: float | None = EVENT_TIME_LIMIT

    def __post_init__(self) -> None:
        values.boolean(f"handler {self.name}: grouped", self.grouped)
        if self.is_async + self.grouped + (self.batch > 1) > 1:
            raise ValueError(
                f"handler {self.name}: grouped, batch and async def exclude each other; a grouped"
                " handler gets one event, and the coroutines of an async def run at the same time"
            )
        if self.time_limit is not None:
            values.seconds(f"handler {self.name}: time_limit", self.time_limit, minimum=0.001)
        if not self.is_async and self.time_limit != EVENT_TIME_LIMIT:
            raise ValueError(
                f"handler {self.name}: only an async def can have a time_limit; a synchronous"
                " handler cannot be interrupted"
            )

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async def``, which runs on the consumer's event loop."""
        return inspect.iscoroutinefunction(self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function directly, for example in a test."""
        return self.fn(*args, **kwargs)


def handler(
    *,
    topic: str,
    group: str,
    name: str | None = None,
    payload: Any = bytes,
    batch: int = 1,
    retry: RetryPolicy = EVENT_RETRY,
    max_crashes: int = 3,
    grouped: bool = False,
    time_limit: float | None = EVENT_TIME_LIMIT,
) -> Callable[[Callable[Q, R]], Handler[Q, R]]:
    """Make a :class:`Handler` from the decorated function.

    Args:
        topic: a field of :class:`Handler`, like all other parameters.
        name: None: the name of the function.

    Example::

        @handler(topic="orders", group="billing", payload=Order)
        def bill(context: EventContext, event: Event[Order]) -> None: ...
    """

    def wrap(fn: Callable[Q, R]) -> Handler[Q, R]:
        return Handler(
            fn=fn,
            name=name or fn.__name__,
            topic=topic,
            group=group,
            payload=payload,
            batch=batch,
            retry=retry,
            max_crashes=max_crashes,
            grouped=grouped,
            time_limit=time_limit,
        )

    return wrap
