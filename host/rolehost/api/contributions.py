"""Contributions: one frozen class for each kind of thing that a plugin adds.

A declaration is pure data. Making one does no I/O and starts no threads or clients. ``check``,
``why`` and the generated API documents (OpenAPI, AsyncAPI) use only the declarations of a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from rolehost.api import values
from rolehost.api.actors import Actor
from rolehost.api.metrics import Metric
from rolehost.api.settings import Settings
from rolehost.storage import Kind

T = TypeVar("T")

Role = Literal["http", "worker", "consumer", "scheduler"]

#: The kinds of process, in the order in which they start. They drain in the same order.
ROLES: tuple[Role, ...] = ("http", "scheduler", "consumer", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionPoint:
    """A hook that a plugin adds and other plugins implement; see ``PluginInfo.extension_points``.

    An implementation is a function with the name of the hook, marked with :data:`hookimpl`. It
    takes a :class:`DeclareContext` or no argument, and returns a list of items, or None for no
    items. The host calls it only if the plugin with the extension point is enabled, and before the
    declaring hooks of that plugin, which get the items in ``context.extensions``. As in every
    declaring hook, side effects are not allowed. Since plugin API 2.

    Attributes:
        hook: name of the function: the name of the plugin with ``_`` instead of ``-``, then ``_``
            and the purpose, for example ``graphql_schema``.
        returns: class of the items, or a tuple of classes.
        summary: one line for listings and documents.
        role: the only role that needs the items; processes of other roles do not import them.
            None: all roles need them.
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
    """One item that a plugin gave to an extension point.

    Attributes:
        value: the item.
        plugin: name of the plugin that gave the item.
        who: that plugin with distribution and version, for messages.
        location: source location of the item, ``module:line``.
    """

    value: T
    plugin: str
    who: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """The description of a plugin; returned by ``rolehost_plugin``.

    Attributes:
        api: number of the plugin API that the plugin was written for. Use ``PLUGIN_API`` only in a
            plugin that is released together with the host.
        summary: one line for listings.
        settings: type of its settings: the section of the deployment file with the name of the
            plugin. None: the plugin has no settings.
        requires: storage kinds that it needs, with capabilities, for example
            ``("database", "cache[ttl,touch]")``.
        depends: names of plugins that must be enabled too; they are ordered first.
        after: names of plugins that are ordered first if they are enabled.
        enqueues: names of the actors that it enqueues.
        publishes: topics that it publishes to.
        payloads: topic → type of the payloads that it publishes there; topics may be omitted.
            ``rolehost fleet check`` compares it with the types of handlers, and the AsyncAPI
            document describes it.
        extension_points: hooks that it adds, for other plugins to implement.
        metrics: its own metrics. Two enabled plugins cannot have the same metric.
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
        path: Falcon URI template, not percent-encoded, for example ``/app/{app_id}``. A literal
            segment matches only the spelling in the template (characters outside ASCII are
            percent-encoded in a request); every other spelling is 404. A variable matches every
            valid percent-encoding except a slash and NUL, and is never empty, ``.`` or ``..``.
        resource: object with responders ``on_get``, ``on_post`` and so on. A coroutine function
            runs on the event loop and must not block. A synchronous responder runs on a bounded
            pool of threads; it finds the body in ``req.context.body`` (bytes) and may use
            ``req.context.services.unit_of_work()``.
        suffix: Falcon's responder suffix; empty: no suffix.
        idempotent: honour the header ``Idempotency-Key`` in synchronous POST and PATCH responders.
            The same key with the same request (query, body, ``Authorization``) gets the stored
            response; the same key with another request gets 422. A unit of work that the responder
            opens commits together with the stored response.
        max_body: largest body in bytes; None: ``[http] max_body``.
        waiting: True: answer also while the process waits for a backend at its start. All other
            routes then answer 503. No plugin has started yet, so the responder has only the
            backends. For liveness and readiness probes. The path must have no variables.
        open: reason why the route needs no authentication, in a few words; ``rolehost routes``
            shows it. Empty (the default): the route needs authentication. For probes.
        trailing_slash: also match the path with one slash at its end.
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
    """Authenticates the requests to a plugin's routes; ``rolehost_routes`` may return one.

    It applies to every route of the plugin, except open routes (:attr:`Route.open`). The host
    calls ``admits`` after a route has matched and before the responder, for every method and for
    WebSockets. If a plugin has no authentication, ``[http] token`` protects its routes.
    :func:`rolehost.api.http.bearer` makes an authentication by bearer token. Since plugin API 2.

    Attributes:
        admits: called on the event loop with Falcon's request; it must not block or read the body.
            Only the result True admits the request. Every other result is answered with 401, so
            an error in the function admits no request. ``falcon.HTTPStatus`` is answered with 401
            too, ``falcon.HTTPError`` is sent to the client, and any other exception gives a 500.
        challenge: value of the header ``WWW-Authenticate`` of the 401 response.
        refusal: text of the 401 response for the client.
    """

    admits: Callable[[Any], bool]
    challenge: str = "Bearer"
    refusal: str = "Invalid or missing credentials"


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """The format of errors below a path prefix, instead of ``application/problem+json``.

    Attributes:
        prefix: path prefix, for example ``/api/v1``. It is compared with the template of the
            matched route or, if no route matches, with the path as it was sent. If several formats
            match, the longest prefix is used.
        render: called with (status, title, detail, code); returns (media type, body). ``code`` is
            a stable name of the error in snake case. ``detail`` is text, or a list of validation
            errors.
    """

    prefix: str
    render: Callable[[int, str, Any, str], tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Middleware:
    """A Falcon ASGI middleware component. Middleware runs in the order of the plugins.

    Middleware cannot authenticate. Before middleware runs, the route is matched with the path that
    was sent; a change of ``req.path`` has no effect. See :class:`Authentication`.

    Attributes:
        name: unique name, for listings.
        component: object with the coroutine functions ``process_request``, ``process_resource`` or
            ``process_response``.
        security: True: the process must never run without it, so ``[on_failure]`` cannot let the
            process run without its plugin.
    """

    name: str
    component: object
    security: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that is enqueued periodically, by the leader among the schedulers of the fleet.

    Exactly one of ``cron`` and ``every`` is required.

    Attributes:
        name: unique in the fleet.
        actor: the durable actor, or its name. The actor may belong to another deployment that has
            run on the same database.
        arguments: arguments of the job.
        cron: five fields, or six with the seconds first, in ``timezone``. Daylight saving time is
            handled as in Debian's cron (cron(8)): a fixed time in the skipped hour ticks
            afterwards; a fixed time in the repeated hour ticks once; ``*`` and ``*/n`` follow real
            time.
        every: seconds between ticks, at least 0.001, counted from the epoch.
        timezone: IANA name of the time zone.
        jitter: seconds. The job of a tick starts up to so much later, at a time that is different
            for each tick, so that many schedules do not start at once. Less than ``every``.
        missed: policy for ticks that passed while no scheduler ran. ``once`` (the default): one job
            for all these ticks; ``skip``: no job; ``all``: a job for each, for the last
            ``missed_limit`` ticks.
        missed_limit: maximum number of jobs of missed ticks, 1 to 10,000; for ``missed="all"``.
        overlap: policy if the job of an earlier tick has not finished (a job that waits for a retry
            has not). ``allow`` (the default): the next job may run beside it; ``skip``: the tick
            has no job; ``queue``: the jobs of the schedule run one after the other. The last two
            take the ``unique`` text, or the ``key``, of the job.

    Raises:
        TypeError: a field has the wrong type.
        ValueError: a field is out of bounds, or not exactly one of ``cron`` and ``every`` is given.

    Example:
        ``Schedule(name="nightly", actor=tidy, cron="0 3 * * *", timezone="Europe/Vienna")``
    """

    name: str
    actor: Actor | str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    jitter: float = 0.0
    missed: Literal["once", "skip", "all"] = "once"
    missed_limit: int = 100
    overlap: Literal["allow", "skip", "queue"] = "allow"

    def __post_init__(self) -> None:
        values.text("name of a schedule", self.name)
        subject = f"schedule {self.name}:"
        if (self.cron is None) == (self.every is None):
            raise ValueError(f"{subject} give exactly one of cron and every")
        if self.every is not None:
            values.seconds(f"{subject} every", self.every, minimum=0.001)
        if not isinstance(self.cron, str | None) or not isinstance(self.timezone, str):
            raise TypeError(f"{subject} cron and timezone must be a str")
        if self.missed not in ("once", "skip", "all"):
            raise ValueError(
                f"{subject} missed must be 'once', 'skip' or 'all', not {self.missed!r:.40}"
            )
        if self.overlap not in ("allow", "skip", "queue"):
            raise ValueError(
                f"{subject} overlap must be 'allow', 'skip' or 'queue', not {self.overlap!r:.40}"
            )
        values.integer(f"{subject} missed_limit", self.missed_limit, minimum=1, maximum=10_000)
        values.seconds(f"{subject} jitter", self.jitter)
        if self.every is not None and self.jitter >= self.every:
            raise ValueError(f"{subject} jitter must be less than every")
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"{subject} arguments must be a dict, not {self.arguments!r:.80}")
        if not isinstance(self.actor, Actor | str):
            raise TypeError(f"{subject} actor must be an Actor or its name, not {self.actor!r:.80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFacts:
    """Facts about the data and the server of a backend, for checks of a fleet.

    Only ``rolehost fleet check`` and the AsyncAPI document use them. All values are taken from the
    settings, without I/O.

    Attributes:
        identity: identifies the data of the backend, comparable between deployments: server,
            database and everything else that separates data, never a secret. Empty: unknown.
        connections: maximum number of connections of one process to the server; None: unknown,
            or there is no server.
        poll_interval: of a stream: seconds without a poll after which a member of a consumer group
            loses its partitions; None: never.
        publish_timeout: of a stream: seconds after which a publication is confirmed or has failed;
            None: unknown.
        partitions: of a stream: partitions of a topic, and therefore the maximum number of
            processes that can share the work of one group; None: unknown.
        protocol: of a stream: the protocol by which other programs use the server, as AsyncAPI
            names it (``kafka``); empty: other programs cannot use it.
        prefix: of a stream: prefix of the names of topics and groups on the server.
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
        kind: the storage kind.
        name: its name in a deployment: ``[storage] cache = "redis"``.
        factory: called without arguments after the fork; returns a :class:`Database`,
            :class:`Cache`, :class:`Queue` or :class:`Stream`. It must not connect.
        capabilities: names from :data:`rolehost.storage.CAPABILITIES`.
        unavailable: reason why the backend cannot be used here, for example a driver that is not
            installed; empty: it can be used.
        stored_in: the kind of another backend of this plugin, in which this backend keeps its
            data; a deployment must choose both. None: the backend is independent.
        fleet: facts for checks of a fleet; by default nothing is known.
    """

    kind: Kind
    name: str
    factory: Callable[[], Any]
    capabilities: frozenset[str]
    unavailable: str = ""
    stored_in: Kind | None = None
    fleet: FleetFacts = FleetFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrations:
    """The SQL files of a plugin, and the peewee models of its tables.

    A file is named ``0001_what_it_does.sql``, or ``0001_what_it_does.sqlite.sql`` and
    ``0001_what_it_does.postgresql.sql`` if the dialects differ. A line ``-- up`` comes before the
    statements that apply the migration, and a line ``-- down`` before the statements that revert
    it. With a line ``-- phase: post`` before ``-- up``, the migration runs after the rollout of the
    new code; the default is before the rollout.

    Attributes:
        package: import name of the package with the files.
        models: peewee model classes; bound to the service database when a process starts.
        owner: name under which applied files are recorded; empty: the name of the plugin. Plugins
            that share tables declare the same package and the same owner, so that each can be
            enabled without the others; the files are applied once.
    """

    package: str
    models: tuple[type[Any], ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A health check. If it is neither ``ready`` nor ``live``, its result has no effect.

    Attributes:
        name: unique in the deployment.
        fn: called with :class:`Services`, in a thread. If all is well it returns None or a line of
            text; otherwise it raises an exception.
        ready: True (the default): a failure makes the process unready (``/readyz``), so that it
            gets no requests.
        live: True: a failure requests a restart of the process (``/healthz``). Use it rarely.
        timeout: seconds after which the check has failed.
    """

    name: str
    fn: Callable[..., str | None]
    ready: bool = True
    live: bool = False
    timeout: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, or a group of commands, below ``rolehost``.

    Attributes:
        name: first word after ``rolehost``.
        target: ``module:attribute`` of a click command; imported when the command is called.
            ``ctx.obj`` of the command is a :class:`rolehost.api.CommandContext`.
        summary: one line for ``rolehost --help``.
    """

    name: str
    target: str
    summary: str
