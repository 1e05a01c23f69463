"""The services of one process, created on first use and closed in reverse order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

import msgspec

from rolehost.api.actors import Actor
from rolehost.api.contributions import Check, ErrorFormat, Route
from rolehost.api.events import AnyEvent
from rolehost.api.metrics import Metric
from rolehost.api.observe import Statistics
from rolehost.api.services import Clock, Job, JobStatus, Services, UnitOfWork
from rolehost.api.settings import Settings
from rolehost.caching import Caching, CachingKeywords, CachingOptions, CircuitBreaker
from rolehost.composition.model import Composition
from rolehost.composition.topology import actor_of
from rolehost.delivery import administration, statistics
from rolehost.delivery.clock import DatabaseClock, SystemClock
from rolehost.delivery.guarded import guard_of
from rolehost.delivery.inbox import RequestScope
from rolehost.delivery.runtime import Declared, DeliveryRuntime
from rolehost.delivery.scopes import unit_of_work
from rolehost.observe.board import Board
from rolehost.observe.recorders import Measures, Recorders
from rolehost.schema import HOST_SET, Schema
from rolehost.services import manifests
from rolehost.services.checks import host_checks
from rolehost.services.models import conceal_parameters
from rolehost.services.runtime import runtime_directory
from rolehost.services.singletons import Singletons
from rolehost.services.threads import Threads
from rolehost.services.transport import Transport
from rolehost.storage import Cache, Database, Kind, Queue, Stream

P = ParamSpec("P")
if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
S = TypeVar("S", bound=Settings)

#: Threads for :meth:`ProcessServices.run` if the role has no setting ``threads``.
_THREADS = 4
#: Seconds that a command waits if other writers keep the database busy.
_BUSY_TIMEOUT = 30.0


class ProcessServices:
    """Implements :class:`rolehost.api.Services` for a composition; made after the fork.

    ``composition`` is replaced if one of its plugins fails to start. ``role`` is ``command`` on the
    command line. Without a supervisor, ``board`` is None.
    """

    def __init__(
        self,
        composition: Composition,
        *,
        role: str,
        clock: Clock | None = None,
        random: Random | None = None,
        board: Board | None = None,
    ) -> None:
        self.composition = composition
        self.role = role
        self.deployment = composition.deployment.name
        if clock is None:
            has_database = "database" in composition.backends
            clock = DatabaseClock(lambda: self.database) if has_database else SystemClock()
        self.clock: Clock = clock
        self.random = random or Random()
        #: The objects that exist so far; a simulation adds its own.
        self.singletons = Singletons()
        self._cachings: dict[str, tuple[Any, CachingOptions, Caching[Any]]] = {}
        self._factories: dict[Any, tuple[Callable[[Services], Any], Any]] = {}
        self._board = board
        #: Queues in statistics, even if empty: of this deployment's actors, and all seen so far.
        self._queues = {actor.queue for actor in _durable(composition).values()}
        self.recorders = Recorders()
        environment = composition.deployment.host.deployment.environment
        self._measures = Measures(self.recorders, strict=environment != "production")
        #: Set by the process when it begins to stop.
        self.draining = False

    @property
    def runtime_directory(self) -> Path:
        """A folder that the processes of this deployment on this machine share."""
        deployment = self.composition.deployment
        return self.singletons.get("runtime", lambda: runtime_directory(deployment))

    @property
    def backends(self) -> Mapping[Kind, str]:
        """The storage kinds of this deployment, with the name of the backend of each."""
        return {kind: owned.value.name for kind, owned in self.composition.backends.items()}

    @property
    def optional(self) -> frozenset[Kind]:
        """The storage kinds that the service can run without."""
        return frozenset(self.composition.deployment.host.storage.optional)

    @property
    def routes(self) -> Sequence[tuple[str, Route]]:
        """Every route, with the name of its plugin."""
        return [(owned.plugin, owned.value) for owned in self.composition.routes]

    @property
    def error_formats(self) -> Sequence[tuple[str, ErrorFormat]]:
        """Every error format, with the name of its plugin."""
        return [(owned.plugin, owned.value) for owned in self.composition.error_formats]

    @property
    def checks(self) -> Sequence[tuple[str, Check]]:
        """Every health check, with the name of its plugin; the host's own come first."""
        return [
            *(("rolehost", check) for check in self.singletons.get("checks", self._own_checks)),
            *((owned.plugin, owned.value) for owned in self.composition.checks),
        ]

    def _own_checks(self) -> tuple[Check, ...]:
        if self._board is None:
            return ()
        schema = None
        if "database" in self.composition.backends:
            sets = [HOST_SET, *self.composition.schema_sets]
            schema = Schema(lambda: self.database, sets)
        return host_checks(self._board, self.composition.deployment.host.supervisor.hang, schema)

    @property
    def database(self) -> Database:
        """The service database."""
        return cast("Database", self._backend("database"))

    @property
    def cache(self) -> Cache:
        """The cache."""
        return cast("Cache", self._backend("cache"))

    def caching(
        self,
        namespace: str,
        value_type: TypeForm[T],
        /,
        *,
        ttl: float | None,
        **options: Unpack[CachingKeywords],
    ) -> Caching[T]:
        """Return the typed values of one namespace of the cache."""
        return self.caching_with(namespace, value_type, CachingOptions(ttl=ttl, **options))

    def caching_with(
        self, namespace: str, value_type: Any, options: CachingOptions
    ) -> Caching[Any]:
        """Like :meth:`caching`, with an options object."""
        known = self._cachings.get(namespace)
        if known is None:
            breaker = self.singletons.get(
                "breaker", lambda: CircuitBreaker(self.cache, self.recorders)
            )
            made: Caching[Any] = Caching(
                breaker,
                namespace,
                value_type,
                options,
                now=lambda: self.clock.now() / 1000,
                chance=self.random,
            )
            known = self._cachings.setdefault(namespace, (value_type, options, made))
        if known[:2] != (value_type, options):
            raise ValueError(
                f"the namespace {namespace!r} of the cache is in use with {known[0]} and"
                f" {known[1]}, not {value_type} and {options}"
            )
        return known[2]

    @property
    def queue(self) -> Queue:
        """The queue transport."""
        return cast("Queue", self._backend("queue"))

    @property
    def stream(self) -> Stream:
        """The stream."""
        return cast("Stream", self._backend("stream"))

    @property
    def delivery(self) -> DeliveryRuntime:
        """The runtime of the delivery code, for the host's own roles; needs a database."""
        return self.singletons.get("delivery", self._make_runtime)

    @property
    def transport(self) -> Transport:
        """The transport of ephemeral messages; for the host's own roles."""
        return self.singletons.get("transport", lambda: Transport(self.queue.broker()))

    @property
    def degraded(self) -> Mapping[str, str]:
        """The plugins that failed and are not part of this process, each with the reason."""
        return {each.name: each.reason for each in self.composition.degraded}

    @overload
    def settings(self, plugin: str) -> Any: ...

    @overload
    def settings(self, plugin: type[S]) -> S: ...

    def settings(self, plugin: str | type[S]) -> Any:
        """Return the typed settings of an enabled plugin, by its name or their type."""
        if not isinstance(plugin, str):
            for each in self.composition.plugins:
                if type(each.settings) is plugin:
                    return each.settings
            raise LookupError(f"no enabled plugin has settings of type {plugin.__qualname__}")
        settings = self.composition.plugin(plugin).settings
        if settings is None:
            raise LookupError(f"plugin {plugin!r} has no settings")
        return settings

    def statistics(self) -> Statistics:
        """Return the current state of queues, outbox, dead letters, lags and processes."""
        passing = any(not owned.value.durable for owned in self.composition.actors.values())
        queue = self.queue if passing and "queue" in self.composition.backends else None
        restarts = self._board.read().restarts if self._board is not None else {}
        if "database" not in self.composition.backends:
            return Statistics(
                dead_messages=statistics.dead_messages(queue),
                processes=statistics.processes({}, self.composition.roles_run, restarts),
            )
        handlers = [owned.value for owned in self.composition.handlers]
        return statistics.collect(
            self.database,
            self.stream if handlers else None,
            queue,
            [(handler.topic, handler.group) for handler in handlers],
            self.clock,
            queues=self._queues,
            roles=self.composition.roles_run,
            restarts=restarts,
        )

    def measure(self, metric: Metric, value: float = 1.0, /, *labels: str) -> None:
        """Add to a counter, or observe a value in a histogram."""
        self._measures.record(self.composition.metrics, metric, value, labels)

    def unit_of_work(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work, or join the open one."""
        return unit_of_work(self.delivery)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread with a database session; for coroutines."""
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function; await it, or run a plain one")
        threads = self.singletons.get("threads", self._make_threads)
        has_database = "database" in self.composition.backends
        session = self.database.session if has_database else nullcontext
        return await threads.run(lambda: function(*args, **kwargs), session)

    def enqueue(self, actor: Actor | str, /, **options_and_arguments: Any) -> Job:
        """Open (or join) a unit of work for one job."""
        with unit_of_work(self.delivery, single=True) as work:
            return work.enqueue(actor, **options_and_arguments)

    def publish(self, event: AnyEvent) -> str:
        """Open (or join) a unit of work for one event."""
        with unit_of_work(self.delivery, single=True) as work:
            return work.publish(event)

    def send(self, actor: Actor, /, *, delay: float | None = None, **arguments: Any) -> None:
        """Send to an ephemeral actor."""
        self.transport.send(actor, arguments, delay)

    def request_scope(self, key: str, fingerprint: bytes) -> RequestScope:
        """Return the scope of an idempotent request, for the role ``http``."""
        return RequestScope(self.delivery, key, fingerprint)

    def job(self, number: int, /) -> JobStatus | None:
        """See :meth:`rolehost.api.Services.job`."""
        with self.database.session():
            row = administration.show(self.database, number)
        return None if row is None else msgspec.convert(row, JobStatus)

    def register(
        self,
        service_type: TypeForm[T],
        factory: Callable[[Services], T],
        *,
        close: Callable[[T], None] | None = None,
    ) -> None:
        """Register a service of a plugin."""
        added = (factory, close)
        if self._factories.setdefault(service_type, added) is not added:
            raise ValueError(f"service {service_type.__qualname__} is registered already")

    def get(self, service_type: TypeForm[T]) -> T:
        """Return the process's instance of a registered service."""
        found: T | None = self.singletons.made.get(service_type)
        if found is not None:
            return found
        try:
            factory, close = self._factories[service_type]
        except KeyError:
            raise LookupError(
                f"no service {service_type.__module__}.{service_type.__qualname__} is registered"
                " in this process; register it in rolehost_start"
            ) from None
        return cast("T", self.singletons.get(service_type, lambda: factory(self), close))

    def checkpoint(self) -> Callable[[], None]:
        """Return a function that removes all services and recorders added after this call."""
        factories, recorders = dict(self._factories), self.recorders.checkpoint()

        def undo() -> None:
            self._factories = factories
            recorders()

        return undo

    def bind_models(self) -> None:
        """Bind the plugins' peewee models to the service database."""
        models = [model for owned in self.composition.migrations for model in owned.value.models]
        if models:
            self.database.peewee.bind(models)
            conceal_parameters(models)

    def close(self) -> None:
        """Close everything in reverse order; errors are logged. Idempotent.

        The functions of :meth:`run` end first, because they may use everything else.
        """
        threads: Threads | None = self.singletons.made.get("threads")
        if threads is not None:
            threads.close()
        self.singletons.close()

    def _backend(self, kind: Kind) -> Any:
        found = self.singletons.made.get(kind)
        if found is not None:
            return found
        if kind not in self.composition.backends:
            raise LookupError(
                f"this deployment has no {kind}: no enabled plugin requires one, or no plugin"
                " provides it"
            )
        factory = self.composition.backends[kind].value.factory
        made = self.singletons.get(kind, factory, lambda backend: backend.close())
        if isinstance(made, Database):
            guard_of(made)
        return made

    def _make_threads(self) -> Threads:
        settings = getattr(self.composition.deployment.host, self.role, None)
        # Each job of an asynchronous actor, and event of such a handler, may have a call waiting.
        actors = _durable(self.composition).values()
        handlers = [owned.value for owned in self.composition.handlers]
        queues = {actor.queue for actor in actors if actor.is_async}
        groups = {handler.group for handler in handlers if handler.is_async}
        most = getattr(settings, "concurrency", 0) * len(queues)
        most += getattr(settings, "in_flight", 0) * len(groups)
        return Threads(getattr(settings, "threads", _THREADS), "run", most)

    def wait_for_writers(self) -> None:
        """Let units of work wait longer for a busy database, because a command's user can wait."""
        if "database" in self.composition.backends:
            self.delivery.busy_timeout = _BUSY_TIMEOUT

    def _make_runtime(self) -> DeliveryRuntime:
        composition = self.composition
        host = composition.deployment.host
        return DeliveryRuntime(
            database=self.database,
            wake=self.queue.wake if "queue" in composition.backends else _wake_none,
            clock=self.clock,
            random=self.random,
            source=f"/{composition.deployment.name}",
            declared=Declared(
                actors=_durable(composition),
                enqueues=composition.enqueues
                | {actor_of(owned.value) for owned in composition.schedules},
                publishes=composition.publishes,
                strict=host.deployment.environment != "production",
                versions=_versions(composition),
            ),
            policy=host.delivery,
            recorder=self.recorders,
            middleware=[owned.value for owned in composition.job_middleware],
            find_foreign=manifests.target,
        )


def _versions(composition: Composition) -> dict[str, str]:
    """Return actor → the distribution that contributes it, with its version."""
    plugins = {name: composition.plugin(owned.plugin) for name, owned in composition.actors.items()}
    return {name: f"{each.distribution} {each.version}" for name, each in plugins.items()}


def _durable(composition: Composition) -> dict[str, Actor]:
    actors = {name: owned.value for name, owned in composition.actors.items()}
    return {name: actor for name, actor in actors.items() if actor.durable}


def _wake_none(_names: Collection[str]) -> None:
    """Do nothing; waiting processes poll if there is no queue."""
