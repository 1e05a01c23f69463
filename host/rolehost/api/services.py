"""What running code is given: services, the unit of work, and the context of a delivery."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, overload

import msgspec

from rolehost.api.contributions import Actor, Check, ErrorFormat, Route
from rolehost.api.events import AnyEvent
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
    """Where the time comes from; tests and simulations give their own."""

    def now(self) -> int:
        """Return the milliseconds since the Unix epoch."""


class Job(msgspec.Struct, frozen=True):
    """What :meth:`UnitOfWork.enqueue` gives back.

    Attributes:
        id: the row's id, unique in the service database.
        actor: name of the actor.
        created: False when the ``unique`` text was taken, and this is the job that has it.
    """

    id: int
    actor: str
    created: bool = True


class UnitOfWork(Protocol):
    """One database transaction with the jobs and events that leave with it."""

    @property
    def database(self) -> Database:
        """The service database; statements run by this thread belong to the transaction."""

    def enqueue(
        self,
        actor: Actor | str,
        /,
        *,
        delay: float | None = None,
        key: str | None = None,
        unique: str | Unique | None = None,
        priority: int | None = None,
        **arguments: Any,
    ) -> Job:
        """Enqueue a durable job; it exists when, and only when, the transaction commits.

        Args:
            actor: the actor, or its name when it belongs to another deployment.
            delay: seconds before it may run, at most 100 years; None, 0 or below is at once.
            key: jobs of one key run one after the other, in the order of their enqueueing; 1 to
                600 characters.
            unique: while a job with this text exists that no process has taken yet, no second
                one is made; see :class:`Unique` for other rules.
            priority: lower runs first, 32 bits; None takes the actor's own.
            arguments: the actor's arguments, by name, each of the annotated type or as JSON
                writes that. At most 1 MiB as JSON and 100 levels deep, without NaN, infinity
                and NUL characters.

        Raises:
            UndeclaredError: no enabled plugin declares that it enqueues this actor.
            UnknownActor: a name that is neither an actor here nor declared.
            PayloadError: an option or an argument does not fit, or cannot be stored; names the
                actor and the option or argument. The same on every database.
        """

    def enqueue_many(
        self,
        actor: Actor | str,
        arguments: Iterable[Mapping[str, Any]],
        *,
        delay: float | None = None,
        priority: int | None = None,
    ) -> int:
        """Enqueue one job for each mapping of arguments, in bulk; return how many.

        Raises:
            UndeclaredError, UnknownActor, PayloadError: as :meth:`enqueue`.
        """

    def publish(self, event: AnyEvent) -> str:
        """Publish an event when, and only when, the transaction commits; return its id.

        Raises:
            UndeclaredError: no enabled plugin declares that it publishes to this topic.
            PayloadError: the payload cannot be encoded.
        """

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after the commit, in this thread; never after a roll-back.

        For what may be lost (a cache entry, a local wake-up): a crash after the commit skips
        it. An exception from it is logged, not raised.
        """


class Services(Protocol):
    """Everything a process has, built when first used and closed in reverse. Thread-safe."""

    @property
    def deployment(self) -> str:
        """The name of the deployment."""

    @property
    def draining(self) -> bool:
        """Whether this process has been told to stop: it is not ready, and takes no new work."""

    @property
    def runtime_directory(self) -> Path:
        """A folder that exactly the processes of this deployment on this machine share.

        Exists, belongs to the user and is closed to others; for sockets and shared memory.
        What is in it outlives the processes, but perhaps not a restart of the machine.
        """

    @property
    def backends(self) -> Mapping[Kind, str]:
        """The storage kinds that this deployment has, with the name of the backend of each.

        Asking for a kind that is not among them raises :class:`LookupError`.
        """

    @property
    def optional(self) -> frozenset[Kind]:
        """The kinds without which the service goes on: ``[storage] optional``."""

    @property
    def degraded(self) -> Mapping[str, str]:
        """The plugins that failed and are left out in this process, each with the reason.

        One line each, for operators: it names files and lines. Since plugin API 2.
        """

    @property
    def routes(self) -> Sequence[tuple[str, Route]]:
        """Every route of the composition after the name of its plugin, in the order of plugins.

        Empty in roles other than ``http``, which do not compose them; likewise error formats
        and checks.
        """

    @property
    def error_formats(self) -> Sequence[tuple[str, ErrorFormat]]:
        """Every error format of the composition after the name of its plugin."""

    @property
    def checks(self) -> Sequence[tuple[str, Check]]:
        """Every health check of the composition after the name of its plugin."""

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

        Asked for again with the same type and options it is the same object.

        Args:
            namespace: its name, such as ``shop.prices``; the same in every process that shares
                the values. Begin it with the plugin's name.
            value_type: of the values: anything msgspec decodes.
            ttl: seconds for which a value is fresh; None keeps it until the cache needs room.
            options: fields of :class:`CachingOptions`.

        Raises:
            LookupError: the deployment has no cache.
            ValueError: the namespace is in use with another type or other options.
        """

    def caching_with(
        self, namespace: str, value_type: Any, options: CachingOptions
    ) -> Caching[Any]:
        """As :meth:`caching`, with options that are made already."""

    @property
    def queue(self) -> Queue:
        """The queue transport."""

    @property
    def stream(self) -> Stream:
        """The stream."""

    @property
    def clock(self) -> Clock:
        """The clock; use it instead of :func:`time.time`."""

    @property
    def random(self) -> random.Random:
        """The random source; seeded in tests and simulations."""

    @overload
    def settings(self, plugin: str) -> Any: ...

    @overload
    def settings(self, plugin: type[S]) -> S: ...

    def settings(self, plugin: str | type[S]) -> Any:
        """Return the typed settings of an enabled plugin.

        Args:
            plugin: its name; or the type of its settings, which the result then has.

        Raises:
            LookupError: no enabled plugin has this name, or settings of this type; or it has no
                settings.
        """

    def statistics(self) -> Statistics:
        """Ask how queues, outbox, dead letters, lags and processes stand now.

        Blocking: a few statements on the database and the stream; not for every request.

        Raises:
            StorageUnavailable: database or stream cannot be reached.
        """

    def measure(self, metric: Metric, value: float = 1.0, /, *labels: str) -> None:
        """Add to a counter, or observe something with a histogram. Since plugin API 2.

        Costs next to nothing where nothing records metrics.

        Args:
            metric: one of an enabled plugin's ``PluginInfo.metrics``.
            value: what is added, not below 0; what is observed.
            labels: the values of its labels, in their order.

        Raises:
            UndeclaredError: no enabled plugin declares it; in production it is counted, and not
                recorded.
            ValueError: more or fewer values than it has labels.
            TypeError: neither a counter nor a histogram.
        """

    def unit_of_work(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work, or join the one that is open here.

        Inside a job, a handler, or a route that is idempotent by key, it joins the delivery's
        own: its effects commit with the delivery's completion when the actor, handler or
        responder returns. Elsewhere it commits at the end of the ``with`` block. An exception
        that leaves the block rolls everything back. Blocking: use it in synchronous code.

        It belongs to one thread of execution. In another thread, a copied context does not join
        it: a unit of work there is its own, and is refused while this one is open. A block that
        fails keeps the unit of work around it from committing, even if its error is caught.

        Raises:
            DatabaseMisused: on the event loop of the ``http`` role (await :meth:`run` instead),
                or while another thread, coroutine or generator has one open here.
            UnitOfWorkFailed: at the end, when an inner block failed or has not ended.
            StorageUnavailable: the database is away, or its write lock was not had in time.
        """

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, with a session of the database, and wait for its result.

        The way to the database for async code: responders, middleware, WebSockets, tasks. The
        function has the caller's context variables, with request id and logging context, and
        opens units of work as any synchronous code does. The threads are as many as ``threads``
        of the role says, apart from those of its own work. Since plugin API 2.

        When the caller is cancelled, a function that has begun runs to its end: a unit of work
        in it commits or rolls back as it would have, and the result is dropped. One that has
        not begun is not called. A process that stops waits for functions that run.

        Args:
            function: a plain function.
            args: its arguments.
            kwargs: its arguments by name.

        Raises:
            Overloaded: 32 calls wait for each thread already.
            TypeError: the function is a coroutine function.
            Exception: what the function raises.
        """

    def enqueue(self, actor: Actor | str, /, **options_and_arguments: Any) -> Job:
        """Open (or join) a unit of work for one :meth:`UnitOfWork.enqueue`."""

    def publish(self, event: AnyEvent) -> str:
        """Open (or join) a unit of work for one :meth:`UnitOfWork.publish`."""

    def send(self, actor: Actor, /, *, delay: float | None = None, **arguments: Any) -> None:
        """Send to an ephemeral actor (``durable=False``): at Dramatiq's speed and guarantees.

        Not part of any transaction. ``delay`` is in seconds.

        Raises:
            PayloadError: the actor is durable, or the arguments do not fit it.
            StorageUnavailable: the queue did not answer; the message was stored once or not at
                all.
        """

    def register(
        self,
        service_type: TypeForm[T],
        factory: Callable[[Services], T],
        *,
        close: Callable[[T], None] | None = None,
    ) -> None:
        """Offer a service of a plugin; call it in ``rolehost_start``.

        ``factory`` runs once per process, when the service is first asked for; ``close`` at
        the end, in reverse order of building.

        Raises:
            ValueError: the type is registered already.
        """

    def get(self, service_type: TypeForm[T]) -> T:
        """Return the process's instance of a registered service.

        Raises:
            LookupError: nothing registered that type in this process.
        """


class JobContext(Protocol):
    """First argument of every durable actor."""

    @property
    def services(self) -> Services:
        """The services of this process."""

    @property
    def id(self) -> int:
        """The job's id: the same on every attempt."""

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; interrupted ones are not counted."""

    @property
    def last_attempt(self) -> bool:
        """Whether a failure of this attempt makes the job a dead letter."""

    @property
    def enqueued_at(self) -> int:
        """When it was enqueued, milliseconds since the epoch."""

    @property
    def cancelled(self) -> bool:
        """Whether someone asked to cancel this job; asks the database, so ask sparingly."""


class EventContext(Protocol):
    """First argument of every handler."""

    @property
    def services(self) -> Services:
        """The services of this process."""

    @property
    def group(self) -> str:
        """The consumer group."""

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
