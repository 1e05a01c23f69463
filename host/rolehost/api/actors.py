"""Actors: functions that run as background jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

from rolehost.api import values
from rolehost.api.limits import NO_LIMITS, JobQueue, Limits
from rolehost.api.retries import RetryPolicy
from rolehost.api.variables import P, R_co

Q = ParamSpec("Q")
R = TypeVar("R")

#: Options of :meth:`UnitOfWork.enqueue`; no argument of an actor may have these names.
RESERVED_ARGUMENTS = frozenset(
    {"at", "cause", "delay", "expires_at", "key", "partition", "priority", "unique"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor(Generic[P, R_co]):
    """A function that runs as a background job; made with the decorator :func:`actor`.

    Its type parameters are the function's, for example ``Actor[[JobContext, str], Outcome]``.

    Attributes:
        fn: the function. Its first parameter is a :class:`JobContext` (for an ephemeral actor:
            :class:`Services`). The others are the arguments of the job, by name and type. A durable
            actor may be an ``async def``: then up to ``[worker] concurrency`` of its jobs run at
            the same time in a process; see ``docs/jobs.md``.
        name: unique in the fleet.
        queue: name of the queue of its jobs.
        durable: True (the default): a job is a row in the service database, written in the unit of
            work that enqueues it. It is retried, and its effects happen once. False: a job is a
            Dramatiq message, which is faster, and lost if the queue is lost.
        priority: jobs with a lower number run first.
        retry: policy of retries after a failed attempt.
        time_limit: seconds after which an attempt is interrupted and fails; None: never. Code in C
            cannot be interrupted: then the attempt fails, and its process is replaced.
        max_crashes: the job becomes a dead letter after ``max_crashes`` + 1 processes died while
            they ran it. The first death is not counted, because its cause is not yet known.
        limits: limits of its jobs over the whole fleet; only if durable.
        partition: divides its jobs into partitions, for example one for each tenant: the name of an
            argument, or a function that gets the arguments by name and returns a text. Partitions
            take turns. None: no partitions, unless ``enqueue`` gets a partition.
        partition_limits: limits of each of its partitions.
        queue_limits: limits of all jobs of its queue; see :class:`JobQueue`.
        grouped: True: short jobs of one process share a transaction (*group commit*), each behind
            a savepoint. The function must be quick, may run twice, and must have no effects outside
            of the service database; see ``docs/jobs.md``. Only if durable.
        aliases: earlier names of the actor. Jobs that wait under one of them run too; other actors
            cannot have these names.
        history: True: the history of a job has each attempt, with its log lines. False: only the
            attempts that failed. Only if durable.

    Raises:
        TypeError: a field has the wrong type, or an argument has the name of an option of
            ``enqueue``.
        ValueError: a field is out of bounds.
    """

    fn: Callable[P, R_co]
    name: str
    queue: str = "default"
    durable: bool = True
    priority: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    time_limit: float | None = 600.0
    max_crashes: int = 3
    limits: Limits = NO_LIMITS
    partition: str | Callable[..., str] | None = None
    partition_limits: Limits = NO_LIMITS
    queue_limits: Limits = NO_LIMITS
    grouped: bool = False
    aliases: tuple[str, ...] = ()
    history: bool = False

    def __post_init__(self) -> None:
        values.text("name of an actor", self.name)
        subject = f"actor {self.name}:"
        values.text(f"{subject} queue", self.queue)
        values.integer(f"{subject} priority", self.priority)
        values.integer(f"{subject} max_crashes", self.max_crashes, minimum=1)
        if self.time_limit is not None:
            values.seconds(f"{subject} time_limit", self.time_limit, minimum=0.001)
        if not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"{subject} retry must be a RetryPolicy, not {self.retry!r:.80}")
        values.boolean(f"{subject} grouped", self.grouped)
        values.boolean(f"{subject} history", self.history)
        if not self.durable and (self.grouped or self.history):
            raise ValueError(f"{subject} an ephemeral actor has neither groups nor a history")
        self._check_limits(subject)
        self._check_aliases(subject)
        clash = RESERVED_ARGUMENTS & set(self.arguments)
        if clash:
            raise TypeError(
                f"actor {self.name}: {sorted(clash)} are options of enqueue(); rename the argument"
            )

    def _check_aliases(self, subject: str) -> None:
        if not isinstance(self.aliases, tuple):
            raise TypeError(f"{subject} aliases must be a tuple, not {self.aliases!r:.80}")
        names = (self.name, *(values.text(f"{subject} each alias", each) for each in self.aliases))
        if len(set(names)) < len(names):
            raise ValueError(f"{subject} aliases name it twice: {self.aliases!r:.80}")

    def _check_limits(self, subject: str) -> None:
        for name in ("limits", "partition_limits", "queue_limits"):
            if not isinstance(getattr(self, name), Limits):
                raise TypeError(f"{subject} {name} must be Limits, not {getattr(self, name)!r:.80}")
        if isinstance(self.partition, str):
            if self.partition not in self.arguments:
                raise ValueError(f"{subject} partition {self.partition!r} is not an argument")
        elif self.partition is not None and not callable(self.partition):
            raise TypeError(
                f"{subject} partition must be the name of an argument or a function,"
                f" not {self.partition!r:.80}"
            )
        if not self.durable and (self.limits or self.partition_limits or self.partition):
            raise ValueError(f"{subject} an ephemeral actor has neither limits nor partitions")

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async def``, whose jobs run on the worker's event loop."""
        return inspect.iscoroutinefunction(self.fn)

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The parameters after the context, by name."""
        parameters = list(inspect.signature(self.fn).parameters.items())
        return dict(parameters[1:])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function directly, for example in a test."""
        return self.fn(*args, **kwargs)


def actor(
    *,
    name: str | None = None,
    queue: str | JobQueue = "default",
    durable: bool = True,
    priority: int = 0,
    retry: RetryPolicy | None = None,
    time_limit: float | None = 600.0,
    max_crashes: int = 3,
    limits: Limits = NO_LIMITS,
    partition: str | Callable[..., str] | None = None,
    partition_limits: Limits = NO_LIMITS,
    grouped: bool = False,
    aliases: tuple[str, ...] = (),
    history: bool = False,
) -> Callable[[Callable[Q, R]], Actor[Q, R]]:
    """Make an :class:`Actor` from the decorated function.

    Args:
        name: None: the name of the function.
        queue: name of the queue, or a :class:`JobQueue`. All other parameters are fields of
            :class:`Actor`.

    Example::

        @actor(queue="mail", retry=RetryPolicy(attempts=5))
        def welcome(job: JobContext, address: str) -> Outcome: ...
    """

    def wrap(fn: Callable[Q, R]) -> Actor[Q, R]:
        return Actor(
            fn=fn,
            name=name or fn.__name__,
            queue=queue.name if isinstance(queue, JobQueue) else queue,
            queue_limits=queue.limits if isinstance(queue, JobQueue) else NO_LIMITS,
            durable=durable,
            priority=priority,
            retry=retry or RetryPolicy(),
            time_limit=time_limit,
            max_crashes=max_crashes,
            limits=limits,
            partition=partition,
            partition_limits=partition_limits,
            grouped=grouped,
            aliases=aliases,
            history=history,
        )

    return wrap
