"""The API at run time: services, the unit of work, and the contexts of jobs and events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

import msgspec

from rolehost.api.actors import Actor
from rolehost.api.contributions import Check, ErrorFormat, Route
from rolehost.api.events import AnyEvent
from rolehost.api.limits import Limits
from rolehost.api.metrics import Metric
from rolehost.api.observe import Statistics
from rolehost.api.settings import Settings
from rolehost.api.unique import Unique
from rolehost.caching import Caching, CachingKeywords, CachingOptions
from rolehost.storage import Cache, Database, Kind, Queue, Stream

if TYPE_CHECKING:
    from typing_extensions import TypeForm

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Settings)


class Clock(Protocol):
    """The source of the time; tests and simulations replace it."""

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""


class Job(msgspec.Struct, frozen=True):
    """The result of :meth:`UnitOfWork.enqueue`.

    Attributes:
        id: id of the job, unique in the service database.
        actor: name of the actor.
        created: False if a job with the same ``unique`` text exists; ``id`` then names that job.
    """

    id: int
    actor: str
    created: bool = True


class JobStatus(msgspec.Struct, frozen=True):
    """A job as it is stored now; the result of :meth:`Services.job`.

    Attributes:
        id: id of the job.
        actor: name of the actor.
        queue: name of the queue.
        state: ``available``, ``scheduled``, ``claimed``, ``running`` or ``retrying``; or, if it is
            over, ``completed``, ``cancelled`` or ``dead``.
        attempt: number of the attempts that count.
        crashes: number of the processes that died while they ran it.
        error: why the last attempt failed, or why the job was cancelled; None: no error.
        cause: what enqueued it.
        enqueued_at: when it was enqueued, milliseconds since the Unix epoch.
        run_at: from when it may run, milliseconds.
        finished_at: when it ended, milliseconds; None until then.
    """

    id: int
    actor: str
    queue: str
    state: str
    attempt: int
    crashes: int
    error: str | None
    cause: str | None
    enqueued_at: int
    run_at: int
    finished_at: int | None

    @property
    def over(self) -> bool:
        """Whether the job is completed, cancelled or dead."""
        return self.finished_at is not None


class UnitOfWork(Protocol):
    """One database transaction, with the jobs and events that are written in it.

    Rows, jobs and events commit together or not at all (transactional outbox)::

        with services.unit_of_work() as work:
            Order.create(number=7)
            work.enqueue(pack, number=7)
            work.publish(Event(topic="orders", type="order.placed", data=placed, key="7"))
    """

    @property
    def database(self) -> Database:
        """The service database. Statements that this thread runs belong to the transaction."""

    def enqueue(
        self,
        actor: Actor | str,
        /,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        key: str | None = None,
        unique: str | Unique | None = None,
        priority: int | None = None,
        partition: str | None = None,
        cause: str | None = None,
        **arguments: Any,
    ) -> Job:
        """Enqueue a durable job. The job exists if the transaction commits, and only then.

        Args:
            actor: the actor, or its name if it belongs to another deployment.
            delay: seconds until the job may run, at most 100 years; None, 0 or less: at once.
            at: the time from which the job may run, with a time zone, instead of ``delay``.
            expires_at: the time, with a time zone, or the number of seconds from now, from which no
                attempt of the job starts any more: it is then ``cancelled`` with the error
                ``expired``. None: never.
            key: 1 to 600 characters. Jobs with the same key run one after the other, in the order
                in which they were enqueued. None: no order.
            unique: a text of 1 to 600 characters. If a job with this text exists and no process
                has taken it yet, no second job is created. See :class:`Unique` for other rules.
            priority: a 32-bit integer; lower numbers run first. None: the priority of the actor.
            partition: 1 to 600 characters: the partition of the job. The partitions of an actor
                take turns, and each has the actor's ``partition_limits``. None: as the actor
                declares. Not allowed with ``key``: a job with a key is in no partition of the
                actor.
            cause: 1 to 600 characters: what enqueues the job, for its middleware and operators, for
                example ``batch:7``. None: the job, event or request that opened this unit of work,
                for example ``job:12``.
            arguments: arguments of the actor, by name. Each has the annotated type, or the JSON
                form of that type. Together they have at most 1 MiB as JSON and 100 levels, and no
                NaN, infinity or NUL character.

        Raises:
            UndeclaredError: no enabled plugin declares that it enqueues this actor.
            UnknownActor: the name is neither an actor of this deployment nor declared.
            PayloadError: an option or an argument has the wrong type or cannot be stored. The
                message names it and the actor, and is the same for every database.
        """

    @overload
    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        key: str | Callable[..., str] | None = None,
        unique: Callable[..., str | Unique] | None = None,
        priority: int | None = None,
        partition: str | None = None,
        cause: str | None = None,
        spread: float | None = None,
        return_jobs: Literal[False] = False,
    ) -> int: ...

    @overload
    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        key: str | Callable[..., str] | None = None,
        unique: Callable[..., str | Unique] | None = None,
        priority: int | None = None,
        partition: str | None = None,
        cause: str | None = None,
        spread: float | None = None,
        return_jobs: Literal[True],
    ) -> list[Job]: ...

    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        delay: float | None = None,
        at: datetime | None = None,
        expires_at: datetime | float | None = None,
        key: str | Callable[..., str] | None = None,
        unique: Callable[..., str | Unique] | None = None,
        priority: int | None = None,
        partition: str | None = None,
        cause: str | None = None,
        spread: float | None = None,
        return_jobs: bool = False,
    ) -> int | list[Job]:
        """Enqueue one job for each mapping of arguments, in bulk.

        The result is the same as with a loop over :meth:`enqueue`; the call is much faster.

        Args:
            actor, delay, at, expires_at, priority, partition, cause: as :meth:`enqueue`, for all
                jobs.
            arguments: the arguments of each job.
            key: the key of all jobs, or a function that returns the key of a job; it gets the
                job's arguments by name.
            unique: a function that returns the ``unique`` of a job; it gets the job's arguments by
                name. Several transactions that enqueue the same texts must use one order.
            spread: seconds over which the start times are distributed evenly, in the order of the
                arguments: the first job may start at once (or at ``at``, or after ``delay``), the
                last one a little before the end. None: all may start at the same time.
            return_jobs: whether to return the jobs. Without it the call is faster on PostgreSQL.

        Returns:
            The number of jobs that were created; or, with ``return_jobs``, a :class:`Job` for each
            mapping, in order. ``created`` is False where ``unique`` found an existing job; ``id``
            then names that job.

        Raises:
            UndeclaredError, UnknownActor, PayloadError: as :meth:`enqueue`.
        """

    def run_now(self, *jobs: int) -> int:
        """Let jobs that wait for a time (``scheduled``) run when the transaction commits.

        Args:
            jobs: ids of the jobs.

        Returns:
            The number of jobs that waited for a time.
        """

    def cancel(self, *jobs: int) -> int:
        """Cancel waiting jobs, and ask running ones to stop (:attr:`JobContext.cancelled`).

        Args:
            jobs: ids of the jobs.

        Returns:
            The number of jobs that were not over.
        """

    def publish(self, event: AnyEvent) -> str:
        """Publish an event. It is published if the transaction commits, and only then.

        Returns:
            The id of the event.

        Raises:
            UndeclaredError: no enabled plugin declares that it publishes to this topic.
            PayloadError: the payload cannot be encoded.
        """

    def limit_partition(self, actor: Actor | str, partition: str, limits: Limits | None) -> None:
        """Set the limits of one partition of an actor, in all deployments on this database.

        They replace the ``partition_limits`` of the actor for this partition, also those of the
        deployment, as ``rolehost limits set --partition`` does. Workers apply them within a second
        after the commit, idle workers at their next poll; claimed jobs are not affected. Workers
        read all limits that were set every second, so set them for thousands of partitions, not
        for millions.

        Args:
            actor: the actor, or its name if it belongs to another deployment.
            partition: 1 to 600 characters; or a key of its jobs, whose rate is then limited. (Jobs
                of a key run one by one whatever the limits are.)
            limits: the limits; None: again those of the actor.

        Raises:
            UndeclaredError, UnknownActor: as :meth:`enqueue`.
            TypeError, ValueError: ``partition`` or ``limits`` is not valid.
        """

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in this thread after the commit; do not call it after a rollback.

        If the process dies after the commit, the call is lost, so use it only for work that may be
        lost, for example to delete a cache entry. An exception from it is logged, not raised.
        """


class Services(Protocol):
    """The services of a process for its plugins. Thread-safe.

    Each service is created at its first use; all are closed in reverse order at the end.
    """

    @property
    def deployment(self) -> str:
        """The name of the deployment."""

    @property
    def draining(self) -> bool:
        """Whether this process is stopping. It is then unready and takes no new work."""

    @property
    def runtime_directory(self) -> Path:
        """A folder that only the processes of this deployment on this machine share.

        It exists, and only the current user can use it. Use it for sockets and shared memory. Its
        content outlives the processes, but may be lost when the machine restarts.
        """

    @property
    def backends(self) -> Mapping[Kind, str]:
        """The storage kinds of this deployment, each with the name of its backend.

        :attr:`database`, :attr:`cache`, :attr:`queue` and :attr:`stream` raise
        :class:`LookupError` if the deployment does not have the kind.
        """

    @property
    def optional(self) -> frozenset[Kind]:
        """The storage kinds that may be unavailable: ``[storage] optional``."""

    @property
    def degraded(self) -> Mapping[str, str]:
        """The plugins that failed and were left out of this process: name → reason.

        A reason is one line for operators, with file and line. Since plugin API 2.
        """

    @property
    def routes(self) -> Sequence[tuple[str, Route]]:
        """Pairs of plugin name and route, in the order of the plugins.

        Workers, consumers and schedulers have no routes, no :attr:`error_formats` and no
        :attr:`checks` of plugins.
        """

    @property
    def error_formats(self) -> Sequence[tuple[str, ErrorFormat]]:
        """Pairs of plugin name and error format, in the order of the plugins."""

    @property
    def checks(self) -> Sequence[tuple[str, Check]]:
        """Pairs of plugin name and health check, in the order of the plugins.

        The host's own checks come first, with the name ``rolehost``.
        """

    @property
    def database(self) -> Database:
        """The service database."""

    @property
    def cache(self) -> Cache:
        """The cache."""

    def caching(
        self,
        namespace: str,
        value_type: TypeForm[T],
        /,
        *,
        ttl: float | None,
        **options: Unpack[CachingKeywords],
    ) -> Caching[T]:
        """Return the typed values of one namespace of the cache.

        A second call with the same type and options returns the same object.

        Args:
            namespace: name of the namespace, for example ``shop.prices``; the same in all
                processes that share the values. Begin it with the name of the plugin.
            value_type: type of the values: any type that msgspec can decode.
            ttl: seconds for which a value is fresh; None: until the cache needs the space.
            options: fields of :class:`CachingOptions`.

        Raises:
            LookupError: the deployment has no cache.
            ValueError: the namespace is in use with another type or other options.
        """

    def caching_with(
        self, namespace: str, value_type: Any, options: CachingOptions
    ) -> Caching[Any]:
        """Return the same as :meth:`caching`, with the options in one object."""

    @property
    def queue(self) -> Queue:
        """The queue."""

    @property
    def stream(self) -> Stream:
        """The stream."""

    @property
    def clock(self) -> Clock:
        """The clock. Use it instead of :func:`time.time`, so that tests can control the time."""

    @property
    def random(self) -> random.Random:
        """The random number generator; seeded in tests and simulations."""

    @overload
    def settings(self, plugin: str) -> Any: ...

    @overload
    def settings(self, plugin: type[S]) -> S: ...

    def settings(self, plugin: str | type[S]) -> Any:
        """Return the typed settings of an enabled plugin.

        Args:
            plugin: name of the plugin, or the type of its settings. With the type, the result is
                typed.

        Raises:
            LookupError: no enabled plugin has this name or settings of this type, or the plugin
                has no settings.
        """

    def statistics(self) -> Statistics:
        """Return the current numbers of queues, outbox, dead letters, lags and processes.

        The call blocks: it runs a few statements on the database, and asks the stream and the
        queue. Do not call it for every request.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """

    def measure(self, metric: Metric, value: float = 1.0, /, *labels: str) -> None:
        """Add to a counter, or observe a value with a histogram. Since plugin API 2.

        If no plugin records metrics, the call costs almost nothing.

        Args:
            metric: a metric of ``PluginInfo.metrics`` of an enabled plugin.
            value: number to add to a counter, at least 0; or the observed value.
            labels: values of the labels, in the order of ``metric.labels``.

        Raises:
            UndeclaredError: no enabled plugin declares the metric. In production the call is only
                counted.
            ValueError: the number of labels is wrong.
            TypeError: the metric is neither a counter nor a histogram.
        """

    def unit_of_work(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work, or join the one that is open.

        In an actor, a handler, or a responder of an idempotent route it joins the unit of work of
        the job, event or request. That unit of work commits when the function returns, together
        with the record that the job, event or request is done, so the effects happen once.
        Elsewhere the unit of work commits at the end of the ``with`` block. An exception that
        leaves the block rolls everything back. The call blocks: use it in synchronous code.

        A unit of work belongs to one thread of execution. Another thread cannot join it, even with
        a copied context, and must not open a second one while this one is open. If an inner block
        fails, the outer one cannot commit, even if the error is caught.

        Raises:
            DatabaseMisused: it was called on the event loop of the ``http`` role (await
                :meth:`run` instead), or while another thread, coroutine or generator has a unit
                of work open in this context.
            UnitOfWorkFailed: at the end of the block, if an inner block failed or has not ended.
            StorageUnavailable: the database cannot be reached, or its write lock was not released
                in time.
        """

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, in a session of the database, and await its result.

        Asynchronous code (responders, middleware, WebSockets, tasks) must use the database in this
        way. The function has the context variables of the caller, among them request id and
        logging context, and may open units of work. These threads form a separate pool; its size is
        ``threads`` in the section of the role, or 4 if the role has no such setting. Since plugin
        API 2.

        If the caller is cancelled before the function has begun, the function is not called. If the
        function has begun, it runs to its end: its unit of work commits or rolls back as usual, and
        the result is dropped. When a process stops, it waits for running functions.

        Args:
            function: a synchronous function.
            args: arguments of the function.
            kwargs: arguments of the function by name.

        Returns:
            The result of the function.

        Raises:
            Overloaded: the waiting queue is full (32 calls for each thread).
            TypeError: the function is a coroutine function.
            Exception: any exception that the function raises.

        Example::

            async def on_get(self, req, resp):
                resp.media = await req.context.services.run(read_orders, limit=50)
        """

    def enqueue(self, actor: Actor | str, /, **options_and_arguments: Any) -> Job:
        """Call :meth:`UnitOfWork.enqueue` in a unit of work that is opened or joined for it."""

    def publish(self, event: AnyEvent) -> str:
        """Call :meth:`UnitOfWork.publish` in a unit of work that is opened or joined for it."""

    def send(self, actor: Actor, /, *, delay: float | None = None, **arguments: Any) -> None:
        """Send a message to an ephemeral actor (``durable=False``), outside of any transaction.

        Args:
            actor: the actor.
            delay: seconds until the message may run; None: at once.
            arguments: arguments of the actor, by name.

        Raises:
            PayloadError: the actor is durable, or an argument has the wrong type.
            StorageUnavailable: the queue did not answer. The message was stored once or not at
                all.
        """

    def job(self, number: int, /) -> JobStatus | None:
        """Return the current state of a job; None if it does not exist or was deleted.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """

    def register(
        self,
        service_type: TypeForm[T],
        factory: Callable[[Services], T],
        *,
        close: Callable[[T], None] | None = None,
    ) -> None:
        """Register a service of a plugin. Call it in ``rolehost_start``.

        Args:
            service_type: type by which :meth:`get` finds the service.
            factory: creates the service; called once in a process, at the first :meth:`get`.
            close: called with the service at the end of the process, in reverse order of creation.

        Raises:
            ValueError: the type is already registered.
        """

    def get(self, service_type: TypeForm[T]) -> T:
        """Return the instance of a registered service; there is one in each process.

        Raises:
            LookupError: no plugin registered that type in this process.
        """


class JobContext(Protocol):
    """The first argument of a durable actor."""

    @property
    def services(self) -> Services:
        """The services of this process."""

    @property
    def id(self) -> int:
        """The id of the job; the same in every attempt."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. Interrupted attempts do not count."""

    @property
    def last_attempt(self) -> bool:
        """Whether a failure of this attempt makes the job a dead letter."""

    @property
    def enqueued_at(self) -> int:
        """The time at which the job was enqueued, in milliseconds since the epoch."""

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested, or this process lost the claim of the job.

        A process loses the claim if it was frozen for too long, or after a failover to a server
        that does not know the claim; then nothing that the job writes is committed. Every access
        queries the database: use it rarely.
        """

    def roll_back(self) -> None:
        """Roll back everything that this attempt has written so far in units of work.

        What it writes afterwards commits with its outcome: for example the record of a failure,
        with ``return Retry(…)``. (An exception that leaves the actor rolls back everything.)

        Raises:
            DatabaseMisused: a block of ``services.unit_of_work()`` has not ended.
        """


class EventContext(Protocol):
    """The first argument of a handler."""

    @property
    def services(self) -> Services:
        """The services of this process."""

    @property
    def group(self) -> str:
        """The consumer group."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
