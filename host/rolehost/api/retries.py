"""Retries of failed work, and the results that an actor may return."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec

from rolehost.api import values

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed job or event is retried, and when it becomes a dead letter.

    The delay after attempt ``n`` is ``delays[n - 1]`` if ``delays`` is given (the last value
    repeats), otherwise ``base * factor ** (n - 1)``, at most ``max_delay``. The delay is then
    changed at random by at most ``± jitter``. For example, ``RetryPolicy(base=5, factor=2,
    jitter=0)`` waits 5, 10, 20 and 40 seconds. An attempt that a shutdown interrupted does not
    count; neither does a :class:`Snooze`.

    Attributes:
        attempts: maximum number of attempts in total; 1: no retries.
        base: seconds after the first attempt.
        factor: factor by which the delay grows with each attempt.
        max_delay: longest delay, seconds.
        delays: delays in seconds, instead of ``base``, ``factor`` and ``max_delay``.
        jitter: largest relative change of a delay, from 0 to 1; 0.2 is ± 20 %.
        fatal: exception types after which the work is not retried.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a field is out of bounds.

    Example:
        ``RetryPolicy(attempts=8, delays=(5, 300, 1800, 7200, 18000, 36000, 36000))`` is the
        schedule that Standard Webhooks recommends.
    """

    attempts: int = 20
    base: float = 5.0
    factor: float = 2.0
    max_delay: float = 36_000.0
    delays: tuple[float, ...] = ()
    jitter: float = 0.2
    fatal: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        values.integer("attempts", self.attempts, minimum=1)
        values.seconds("base", self.base)
        values.seconds("factor", self.factor)
        values.seconds("max_delay", self.max_delay)
        values.seconds("jitter", self.jitter, maximum=1)
        if not isinstance(self.delays, tuple | list):
            raise TypeError(f"delays must be a tuple, not {type(self.delays).__name__}")
        for each in self.delays:
            values.seconds("each of delays", each)
        for kind in self.fatal:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"fatal names exception types, not {kind!r:.80}")

    def delay(self, attempt: int, source: random.Random) -> float:
        """Return the delay after a failed attempt, in seconds.

        Args:
            attempt: number of the failed attempt, from 1.
            source: random number generator for the jitter.
        """
        if self.delays:
            plain = self.delays[min(attempt, len(self.delays)) - 1]
        else:
            try:
                # Floats and a bounded exponent keep a huge attempt number cheap.
                grown = float(self.base) * float(self.factor) ** min(attempt - 1, 64)
            except OverflowError:
                grown = self.max_delay
            plain = min(grown, self.max_delay)
        return plain * (1 + self.jitter * source.uniform(-1, 1))


@dataclass(unsafe_hash=True)
class Retry(Exception):
    """Outcome of an actor: count the attempt, and retry the job.

    ``return Retry(…)`` keeps the effects of the attempt; ``raise Retry(…)`` rolls them back.

    Attributes:
        reason: one line, stored with the job.
        delay: seconds until the next attempt, at most 100 years; 0 or less: at once. None: the
            delay of the actor's policy.

    Raises:
        TypeError: a field has the wrong type. In an actor, this is a failed attempt.
        ValueError: a field is out of bounds. In an actor, this is a failed attempt too.
    """

    reason: str
    delay: float | None = None

    def __post_init__(self) -> None:
        _reason("Retry", self.reason)
        if self.delay is not None:
            values.delay("Retry.delay", self.delay)


@dataclass(unsafe_hash=True)
class Snooze(Exception):
    """Outcome of an actor: count no attempt, and run the job again later.

    ``return Snooze(…)`` keeps the effects of the attempt; ``raise Snooze(…)`` rolls them back.

    Attributes:
        delay: seconds until the job runs again, at most 100 years; 0 or less: at once.

    Raises:
        TypeError, ValueError: as :class:`Retry`.
    """

    delay: float

    def __post_init__(self) -> None:
        values.delay("Snooze.delay", self.delay)


@dataclass(unsafe_hash=True)
class Dead(Exception):
    """Outcome of an actor: make the job a dead letter.

    ``return Dead(…)`` keeps the effects of the attempt; ``raise Dead(…)`` rolls them back.

    Attributes:
        reason: one line, stored with the job.

    Raises:
        TypeError: the reason is not a text.
    """

    reason: str

    def __post_init__(self) -> None:
        _reason("Dead", self.reason)


class Complete:
    """Result of an actor or a handler: call a function whose result is the outcome of the job.

    The function runs in a thread, in the unit of work of the job or event: its effects and the end
    of the job, or the mark that the event is handled, are one commit. Asynchronous functions return
    it, because they cannot use the database themselves::

        outcome = Complete(record, answer, number=job.attempt)

    If the function raises, the attempt has failed. It runs again, with the coroutine's result, only
    if the transaction of its group failed (``grouped``).

    Args:
        function: a synchronous function that returns an :data:`Outcome`.
        args, kwargs: its arguments.

    Raises:
        TypeError: ``function`` is not a synchronous function.
    """

    __slots__ = ("args", "function", "kwargs")

    def __init__(
        self, function: Callable[P, Outcome], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise TypeError(f"Complete needs a synchronous function, not {function!r:.80}")
        self.function: Callable[..., Outcome] = function
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs


def _reason(outcome: str, reason: object) -> None:
    if not isinstance(reason, str):
        raise TypeError(
            f"{outcome}.reason must be a str, not {type(reason).__name__}; write str(reason)"
        )


#: The result of an actor; None means success.
Outcome = Retry | Snooze | Dead | Complete | None
