"""What a plugin gives: one frozen declaration class for each kind of contribution.

Declaring is pure: no I/O, no threads, no clients. What these say is all that ``check``,
``why`` and the generated documents know of a plugin.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from rolehost.api import values
from rolehost.api.metrics import Metric
from rolehost.api.retries import RetryPolicy
from rolehost.api.settings import Settings
from rolehost.api.variables import P, R_co
from rolehost.storage import Kind

T = TypeVar("T")
Q = ParamSpec("Q")
R = TypeVar("R")

Role = Literal["http", "worker", "consumer", "scheduler"]

#: The kinds of process, in the order they are started; they drain in this order too.
ROLES: tuple[Role, ...] = ("http", "scheduler", "consumer", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionPoint:
    """A hook that a plugin adds, for other plugins to implement; in ``PluginInfo``.

    Who implements it writes a function of its name, marked with :data:`hookimpl`, that takes a
    :class:`DeclareContext` or nothing and returns a list of what the point takes, or None. It is
    declaring, as the host's own hooks are: called only where the offering plugin is enabled, and
    before that plugin declares, which finds the results in ``context.extensions``. Since plugin
    API 2.

    Attributes:
        hook: name of the function: the offering plugin's name with ``_`` for ``-``, another
            ``_``, and what it is for: ``graphql_schema``.
        returns: class, or classes, of the items of the list.
        summary: one line for listings and documents.
        role: the role whose processes alone read it, so that others import nothing for it;
            None: all of them.
    """

    hook: str
    returns: type[Any] | tuple[type[Any], ...]
    summary: str
    role: Role | None = None

    @property
    def classes(self) -> tuple[type[Any], ...]:
        """The classes of the items, always as a tuple."""
        return self.returns if isinstance(self.returns, tuple) else (self.returns,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension(Generic[T]):
    """What another plugin gave to an extension point.

    Attributes:
        value: one item of the list that it returned.
        plugin: name of the plugin that gave it.
        who: that plugin with distribution and version, for messages.
        location: where it is written, ``module:line``.
    """

    value: T
    plugin: str
    who: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What a plugin says of itself; returned by ``rolehost_plugin``.

    Attributes:
        api: the plugin API it was written against: ``PLUGIN_API``, or the number itself where the
            plugin is to be refused rather than trusted by a later host.
        summary: one line for listings.
        settings: type of its settings section; None when it has none. The section is named
            like the plugin.
        requires: storage it needs, with capabilities: ``("database", "cache[ttl,touch]")``.
        depends: names of plugins that must be enabled too and come first.
        after: names of plugins that come first when they are enabled.
        enqueues: names of the actors it enqueues.
        publishes: topics it publishes to.
        payloads: topic → type of the payloads that it publishes there, as far as it says;
            checked against the handlers' types, and described in documents.
        extension_points: hooks that it adds, for other plugins to implement.
        metrics: its own metrics; names that another plugin claims as well are refused.
    """

    api: int
    summary: str = ""
    settings: type[Settings] | None = None
    requires: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    enqueues: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    payloads: Mapping[str, Any] = field(default_factory=dict)
    extension_points: tuple[ExtensionPoint, ...] = ()
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the HTTP API.

    Attributes:
        path: Falcon URI template, ``/app/{app_id}``, written decoded. A literal segment of a
            request has one spelling, the template's (a character outside of ASCII is
            percent-encoded); every other spelling is 404. A variable takes any valid
            percent-encoding except a slash and NUL, and is never empty, ``.`` or ``..``.
        resource: object with ``on_get``, ``on_post`` … responders. Asynchronous ones run on
            the event loop and must not block; synchronous ones run on a bounded pool of
            threads, find the body as ``req.context.body`` (bytes) and may use
            ``req.context.services.unit_of_work()``.
        suffix: Falcon's responder suffix, or empty.
        idempotent: honour ``Idempotency-Key`` on synchronous POST and PATCH responders: same
            key and same body give the stored response, another body 422. A unit of work
            opened in the responder commits together with the stored response.
        max_body: largest body in bytes; None takes ``[http] max_body``.
        waiting: answer also while the process waits for a backend at its start, when every
            other route answers 503. No plugin has been started then, so the services are the
            backends alone. For liveness and readiness; the path is without fields.
        open: why the route needs no authentication, in a few words; empty: it needs it. The
            words are shown by ``rolehost routes``. For probes.
        trailing_slash: also answer when the path has one slash at its end.
    """

    path: str
    resource: object
    suffix: str = ""
    idempotent: bool = False
    max_body: int | None = None
    waiting: bool = False
    open: str = ""
    trailing_slash: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Decides who may use the routes of a plugin; given by ``rolehost_routes``, at most one.

    It applies to every route of the plugin, except those with :attr:`Route.open`. The host asks it
    after a route has matched and before its responder, for every method and for WebSockets. A
    plugin without it is protected by ``[http] token``. :func:`rolehost.api.http.bearer` makes
    one for a bearer token. Since plugin API 2.

    Attributes:
        admits: called on the event loop with Falcon's request; it must not block, and it must
            not read the body. The request is admitted if it returns True. Every other result
            refuses the request with 401, so that a mistake never admits anybody; so does a
            ``falcon.HTTPStatus``. A ``falcon.HTTPError`` is answered as it is, and any other
            exception is an error 500.
        challenge: value of the header ``WWW-Authenticate`` of the 401.
        refusal: text of the 401 for the client.
    """

    admits: Callable[[Any], bool]
    challenge: str = "Bearer"
    refusal: str = "Invalid or missing credentials"


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How errors look below a path prefix, instead of ``application/problem+json``.

    Attributes:
        prefix: path prefix, ``/api/v1``; the longest that matches decides. It is compared with
            the template of the matched route; without one, with the path as it was sent.
        render: given (status, title, detail, code) returns (media type, body). ``code`` is a
            stable name of the error in snake case; ``detail`` may be a list of validation
            errors, else text.
    """

    prefix: str
    render: Callable[[int, str, Any, str], tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Middleware:
    """A Falcon ASGI middleware component.

    Attributes:
        name: unique name, for listings.
        component: object with ``process_request``, ``process_resource`` or
            ``process_response`` coroutines.
        security: True refuses to run without it, whatever the failure policy.

    Middleware does not authenticate: which route a request has is decided before it runs, from
    the path that was sent, so changing ``req.path`` has no effect. See :class:`Authentication`.
    """

    name: str
    component: object
    security: bool = False


#: Names that :meth:`UnitOfWork.enqueue` takes itself, so that no actor may use them.
RESERVED_ARGUMENTS = frozenset({"delay", "key", "unique", "priority"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor(Generic[P, R_co]):
    """A unit of background work; made with :func:`actor`.

    Attributes:
        fn: the function; its first parameter is a :class:`JobContext` (ephemeral actors:
            :class:`Services`), the others are its arguments, by name and type.
        name: unique among all actors of the fleet.
        queue: the queue it waits in.
        durable: True: a row of the ledger, in a transaction, retried, effects once. False: a
            Dramatiq message, fast, lost when the broker is.
        priority: lower runs first.
        retry: when a failed attempt is repeated.
        time_limit: seconds after which an attempt is interrupted and fails; None never.
            Cannot interrupt C code that holds the GIL.
        max_crashes: after so many processes died running it the job, or the ephemeral message,
            is a dead letter; the first death is not counted.

    Its type has the function's: ``Actor[[JobContext, str], Outcome]``; ``Actor`` alone is one of
    any function.

    Raises:
        TypeError, ValueError: a field is of the wrong type, or out of bounds.
    """

    fn: Callable[P, R_co]
    name: str
    queue: str = "default"
    durable: bool = True
    priority: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    time_limit: float | None = 600.0
    max_crashes: int = 3

    def __post_init__(self) -> None:
        values.text("name of an actor", self.name)
        whose = f"actor {self.name}:"
        values.text(f"{whose} queue", self.queue)
        values.integer(f"{whose} priority", self.priority)
        values.integer(f"{whose} max_crashes", self.max_crashes, least=1)
        if self.time_limit is not None:
            values.seconds(f"{whose} time_limit", self.time_limit, least=0.001)
        if not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"{whose} retry must be a RetryPolicy, not {self.retry!r:.80}")
        clash = RESERVED_ARGUMENTS & set(self.arguments)
        if clash:
            raise TypeError(
                f"actor {self.name}: {sorted(clash)} are options of enqueue(); rename the argument"
            )

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The parameters after the context, by name."""
        parameters = list(inspect.signature(self.fn).parameters.items())
        return dict(parameters[1:])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, as a test does."""
        return self.fn(*args, **kwargs)


def actor(
    *,
    name: str | None = None,
    queue: str = "default",
    durable: bool = True,
    priority: int = 0,
    retry: RetryPolicy | None = None,
    time_limit: float | None = 600.0,
    max_crashes: int = 3,
) -> Callable[[Callable[Q, R]], Actor[Q, R]]:
    """Make an unbound :class:`Actor` of a function; parameters as its attributes.

    Args:
        name: None takes the function's name.
    """

    def wrap(fn: Callable[Q, R]) -> Actor[Q, R]:
        return Actor(
            fn=fn,
            name=name or fn.__name__,
            queue=queue,
            durable=durable,
            priority=priority,
            retry=retry or RetryPolicy(),
            time_limit=time_limit,
            max_crashes=max_crashes,
        )

    return wrap


#: Events are retried in place, so the default schedule is short: about half a minute in all.
EVENT_RETRY = RetryPolicy(attempts=6, delays=(0.1, 0.5, 2.0, 8.0, 20.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[P, R_co]):
    """A consumer of one topic in one consumer group; made with :func:`handler`.

    Attributes:
        fn: called with an :class:`EventContext` and an :class:`Event` (with ``batch`` > 1: a
            list of them). Its unit of work commits together with the inbox mark.
        name: unique among the handlers of the deployment.
        topic: topic it reads.
        group: consumer group; every group sees every event.
        payload: type that ``event.data`` is decoded to; ``bytes`` leaves it as it is.
        batch: most events handed over at once; 1 hands them over singly, and those of one key one
            after the other.
        retry: repeated in place, so that the order of a key holds; then a dead letter.
        max_crashes: after so many processes died handling it the event is a dead letter.
    """

    fn: Callable[P, R_co]
    name: str
    topic: str
    group: str
    payload: Any = bytes
    batch: int = 1
    retry: RetryPolicy = EVENT_RETRY
    max_crashes: int = 3

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, as a test does."""
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
) -> Callable[[Callable[Q, R]], Handler[Q, R]]:
    """Make a :class:`Handler` of a function; parameters as its attributes."""

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
        )

    return wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that the fleet's one leading scheduler enqueues again and again.

    Exactly one of ``cron`` and ``every`` is given.

    Attributes:
        name: unique among the schedules of the fleet.
        actor: the durable actor, or its name; of another deployment too, once that has run.
        arguments: its arguments.
        cron: five fields, in ``timezone``. Where the clocks change, as in Debian's cron (cron(8)):
            a fixed time within the hour that is left out ticks afterwards, one within the hour
            that is repeated ticks once; ``*`` and ``*/n`` follow the real time.
        every: seconds between ticks, from 0.001, counted from the epoch.
        timezone: IANA name.
        missed: what happens with ticks that passed while no scheduler ran: ``once`` makes
            one job for all of them, ``skip`` none.
    """

    name: str
    actor: Actor | str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    missed: Literal["once", "skip"] = "once"

    def __post_init__(self) -> None:
        values.text("name of a schedule", self.name)
        whose = f"schedule {self.name}:"
        if (self.cron is None) == (self.every is None):
            raise ValueError(f"{whose} give exactly one of cron and every")
        if self.every is not None:
            values.seconds(f"{whose} every", self.every, least=0.001)
        if not isinstance(self.cron, str | None) or not isinstance(self.timezone, str):
            raise TypeError(f"{whose} cron and timezone must be a str")
        if self.missed not in ("once", "skip"):
            raise ValueError(f"{whose} missed must be 'once' or 'skip', not {self.missed!r:.40}")
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"{whose} arguments must be a dict, not {self.arguments!r:.80}")
        if not isinstance(self.actor, Actor | str):
            raise TypeError(f"{whose} actor must be an Actor or its name, not {self.actor!r:.80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFacts:
    """What a backend tells about its data and its server, for checks of a fleet.

    The host itself does not use it. ``rolehost fleet check`` and the AsyncAPI document do. All
    fields are taken from the settings, without I/O.

    Attributes:
        identity: which data the backend holds, comparable between deployments: server, database
            and everything else that separates data, never a secret. Empty: unknown.
        connections: most connections that one process opens to the server; None: unknown, or
            there is no server.
        poll_interval: of a stream: seconds without a poll after which a member of a consumer group
            loses its partitions; None: never.
        publish_timeout: of a stream: seconds after which a publication is confirmed or has failed;
            None: unknown.
        partitions: of a stream: partitions of a topic, and therefore the most processes that can
            share the work of one group; None: unknown.
        protocol: of a stream: the protocol by which other programs use the server, as AsyncAPI
            names it (``kafka``); empty: other programs cannot use it.
        prefix: of a stream: what precedes the names of topics and groups on the server.
    """

    identity: str = ""
    connections: int | None = None
    poll_interval: float | None = None
    publish_timeout: float | None = None
    partitions: int | None = None
    protocol: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An implementation of a storage kind; a deployment chooses it by name.

    Attributes:
        kind: what it implements.
        name: how a deployment names it: ``[storage] cache = "redis"``.
        factory: called without arguments after the fork; returns a :class:`Database`,
            :class:`Cache`, :class:`Queue` or :class:`Stream`. Must not connect yet.
        capabilities: names from :data:`rolehost.storage.CAPABILITIES`.
        unavailable: why it cannot be used here (a driver is missing), or empty.
        within: the kind in whose backend of the same plugin it keeps its data, so that it
            cannot be chosen beside another; None: it stands alone.
        fleet: facts that checks of a fleet compare; the default tells nothing.
    """

    kind: Kind
    name: str
    factory: Callable[[], Any]
    capabilities: frozenset[str]
    unavailable: str = ""
    within: Kind | None = None
    fleet: FleetFacts = FleetFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrations:
    """The SQL files of a plugin, and the peewee models that live in its tables.

    Files are named ``0001_what_it_does.sql``, or ``0001_what_it_does.sqlite.sql`` and
    ``….postgresql.sql`` where the dialects differ. Each has a line ``-- up`` and a line
    ``-- down`` before the statements of each direction, and may have ``-- phase: post`` when
    it runs after the code rolled out (default: pre).

    Attributes:
        package: import name of the package that holds the files.
        models: peewee model classes; bound to the service database when a process starts.
        owner: name under which they are recorded; empty is the plugin's. Plugins that share
            tables, so that each may be enabled without the others, all declare the same
            package and the same owner; the files run once.
    """

    package: str
    models: tuple[type[Any], ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A health check; one that is neither ``ready`` nor ``live`` is told as information.

    Attributes:
        name: unique among the checks of the deployment.
        fn: called with :class:`Services` in a thread; returns None or a line of text when all
            is well, raises when not.
        ready: True: its failure takes the process out of rotation (``/readyz``).
        live: True: its failure asks for a restart (``/healthz``). Rarely right.
        timeout: seconds after which it counts as failed.
    """

    name: str
    fn: Callable[..., str | None]
    ready: bool = True
    live: bool = False
    timeout: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command (or group) below ``rolehost``.

    Attributes:
        name: first word after ``rolehost``.
        target: ``module:attribute`` of a click command; imported when it is called. Its
            ``ctx.obj`` is a :class:`rolehost.api.CommandContext`.
        summary: one line for ``rolehost --help``.
    """

    name: str
    target: str
    summary: str
