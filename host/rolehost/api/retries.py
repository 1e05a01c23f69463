"""How failed work is tried again, and what an actor or handler may answer besides success."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rolehost.api import values


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed job or event is tried again, and when it becomes a dead letter.

    The delay before attempt ``n + 1`` is ``delays[n - 1]`` when ``delays`` is given (its last
    value repeats), else ``base * factor ** (n - 1)`` up to ``longest``; then spread by
    ``± jitter`` (0.2 is ± 20 %). An attempt that a shutdown interrupted is not counted;
    neither is a :class:`Snooze`.

    Attributes:
        attempts: how often work may be tried in all; 1 never retries.
        base: seconds before the second attempt.
        factor: growth of the delay per attempt.
        longest: upper bound of a delay, seconds.
        delays: explicit schedule in seconds, instead of base, factor and longest.
        jitter: relative spread of every delay, from 0 to 1.
        fatal: exception types that are never worth another attempt.

    Example:
        ``RetryPolicy(attempts=8, delays=(5, 300, 1800, 7200, 18000, 36000, 36000))`` is the
        schedule that Standard Webhooks proposes.
    """

    attempts: int = 20
    base: float = 5.0
    factor: float = 2.0
    longest: float = 36_000.0
    delays: tuple[float, ...] = ()
    jitter: float = 0.2
    fatal: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        values.integer("attempts", self.attempts, least=1)
        values.seconds("base", self.base)
        values.seconds("factor", self.factor)
        values.seconds("longest", self.longest)
        values.seconds("jitter", self.jitter, most=1)
        if not isinstance(self.delays, tuple | list):
            raise TypeError(f"delays must be a tuple, not {type(self.delays).__name__}")
        for each in self.delays:
            values.seconds("each of delays", each)
        for kind in self.fatal:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"fatal names exception types, not {kind!r:.80}")

    def delay(self, attempt: int, source: random.Random) -> float:
        """Return the seconds to wait after attempt number ``attempt`` (from 1) failed."""
        if self.delays:
            plain = self.delays[min(attempt, len(self.delays)) - 1]
        else:
            try:
                # Floats, and a bounded exponent: a huge attempt number costs nothing.
                grown = float(self.base) * float(self.factor) ** min(attempt - 1, 64)
            except OverflowError:
                grown = self.longest
            plain = min(grown, self.longest)
        return plain * (1 + self.jitter * source.uniform(-1, 1))


@dataclass(frozen=True, slots=True)
class Retry:
    """Returned by an actor: keep the effects, count the attempt, try again.

    Raising an exception undoes the effects of the attempt; returning this keeps them.

    Attributes:
        reason: kept with the job, one line.
        delay: seconds, at most 100 years; 0 or below is at once. None takes the delay of the
            actor's policy.

    Raises:
        TypeError, ValueError: a field is of the wrong type, or out of bounds. In an actor that
            is a failed attempt like any other.
    """

    reason: str
    delay: float | None = None

    def __post_init__(self) -> None:
        _reason("Retry", self.reason)
        if self.delay is not None:
            values.delay("Retry.delay", self.delay)


@dataclass(frozen=True, slots=True)
class Snooze:
    """Returned by an actor: keep the effects, run again later, count no attempt.

    Attributes:
        delay: seconds until it runs again, at most 100 years; 0 or below is at once.

    Raises:
        TypeError, ValueError: as :class:`Retry`.
    """

    delay: float

    def __post_init__(self) -> None:
        values.delay("Snooze.delay", self.delay)


@dataclass(frozen=True, slots=True)
class Dead:
    """Returned by an actor: keep the effects and give up; the job becomes a dead letter.

    Attributes:
        reason: kept with the job, one line.

    Raises:
        TypeError: the reason is no text.
    """

    reason: str

    def __post_init__(self) -> None:
        _reason("Dead", self.reason)


def _reason(outcome: str, reason: object) -> None:
    if not isinstance(reason, str):
        raise TypeError(
            f"{outcome}.reason must be a str, not {type(reason).__name__}; write str(reason)"
        )


#: What an actor may return; None is success.
Outcome = Retry | Snooze | Dead | None
