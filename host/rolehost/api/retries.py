"""How failed work is tried again, and what an actor or handler may answer besides success."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


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
        rules: (exception type, policy) pairs; the first type that matches decides.

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
    rules: Sequence[tuple[type[BaseException], RetryPolicy]] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")

    def for_error(self, error: BaseException) -> RetryPolicy:
        """Return the policy that applies to this exception."""
        for kind, policy in self.rules:
            if isinstance(error, kind):
                return policy.for_error(error)
        return self

    def delay(self, attempt: int, source: random.Random) -> float:
        """Return the seconds to wait after attempt number ``attempt`` (from 1) failed."""
        if self.delays:
            plain = self.delays[min(attempt, len(self.delays)) - 1]
        else:
            # The exponent is bounded so that a huge attempt number cannot overflow.
            plain = min(self.base * self.factor ** min(attempt - 1, 64), self.longest)
        return plain * (1 + self.jitter * source.uniform(-1, 1))


@dataclass(frozen=True, slots=True)
class Retry:
    """Returned by an actor: keep the effects, count the attempt, try again.

    Raising an exception undoes the effects of the attempt; returning this keeps them.

    Attributes:
        reason: kept with the job, one line.
        delay: seconds; None takes the delay of the actor's policy.
    """

    reason: str
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """Returned by an actor: keep the effects, run again later, count no attempt.

    Attributes:
        delay: seconds until it runs again.
    """

    delay: float


@dataclass(frozen=True, slots=True)
class Dead:
    """Returned by an actor: keep the effects and give up; the job becomes a dead letter.

    Attributes:
        reason: kept with the job, one line.
    """

    reason: str


#: What an actor may return; None is success.
Outcome = Retry | Snooze | Dead | None
