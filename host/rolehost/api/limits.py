"""Limits of jobs: how many run at the same time, and how many start in a second."""

from __future__ import annotations

from dataclasses import dataclass

from rolehost.api import values

#: Jobs per second: one in 30 days, and one in each microsecond of the limiter's clock.
_LEAST_RATE, _MOST_RATE = 1 / (30 * 86_400), 1_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the jobs of an actor, a queue or a partition, over the whole fleet.

    ``concurrency`` counts a job from its claim by a worker to the commit of its end. ``rate``
    counts each start of an attempt.

    Attributes:
        concurrency: maximum number of jobs at the same time; None: no limit.
        rate: maximum number of jobs per second, from one in 30 days to 1,000,000; None: no limit.
            It is enforced by the generic cell rate algorithm (GCRA, ITU-T I.371), with the clock
            of the database.
        burst: number of jobs that may start at once after a pause; needs ``rate``.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a field is out of bounds, or ``burst`` is set without ``rate``.
    """

    concurrency: int | None = None
    rate: float | None = None
    burst: int = 1

    def __post_init__(self) -> None:
        if self.concurrency is not None:
            values.integer("concurrency", self.concurrency, minimum=1)
        values.integer("burst", self.burst, minimum=1)
        if self.rate is None:
            if self.burst != 1:
                raise ValueError("burst needs a rate")
            return
        if not isinstance(self.rate, int | float) or isinstance(self.rate, bool):
            raise TypeError(f"rate must be a number, not {type(self.rate).__name__}")
        # Written so that NaN is refused too.
        if not _LEAST_RATE <= self.rate <= _MOST_RATE:
            raise ValueError(
                "rate must be from one job in 30 days to 1,000,000 jobs per second,"
                f" not {self.rate!r:.40}"
            )

    def __bool__(self) -> bool:
        """Return whether anything is limited."""
        return self.concurrency is not None or self.rate is not None


#: Limits that limit nothing.
NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class JobQueue:
    """A queue of jobs with limits; pass it as ``queue`` to the actors of the queue.

    Attributes:
        name: name of the queue.
        limits: limits of all jobs of the queue, over the whole fleet.
    """

    name: str
    limits: Limits = NO_LIMITS
