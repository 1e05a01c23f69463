"""The deployment as data: the host's own sections, typed, and the plugins' sections, raw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from rolehost.api.contributions import Role
from rolehost.api.delivery import DeliverySettings
from rolehost.api.settings import Secret, Settings
from rolehost.errors import Problem
from rolehost.redaction import without
from rolehost.storage.capabilities import Kind

#: What happens when a plugin fails: nothing is started, or the rest goes on without it.
Failure = Literal["abort", "degrade"]

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class DeploymentSettings(Settings, frozen=True):
    """``[deployment]``.

    Attributes:
        name: name of the deployment; empty takes the file's stem.
        environment: ``production`` counts undeclared enqueues and publications, the others
            refuse them.
        roles: what this deployment claims to be; anything else found is a mistake. None claims
            nothing.
        migrate: ``run`` applies pending migrations before the roles start (those of the phase
            *post* only when no process of the fleet is alive), ``check`` refuses to start when
            there are any of the phase *pre*. None is ``check`` in production, else ``run``.
        pins: file that ``rolehost plugins --pin`` wrote; a plugin that differs from it is not
            imported. None pins nothing.
    """

    name: str = ""
    environment: Literal["production", "development", "test"] = "development"
    roles: tuple[Role, ...] | None = None
    migrate: Literal["run", "check"] | None = None
    pins: Path | None = None


class StorageSettings(Settings, frozen=True):
    """``[storage]``: which backend implements each kind.

    Attributes:
        database: name of the database backend; None takes the only one offered.
        cache: name of the cache backend; None takes the only one offered.
        queue: name of the queue backend; None takes the only one offered.
        stream: name of the stream backend; None takes the only one offered.
        optional: kinds without which the service goes on, more slowly perhaps: a start does not
            wait for them, and a process is ready without them. What they refuse still ends it.
    """

    database: str | None = None
    cache: str | None = None
    queue: str | None = None
    stream: str | None = None
    optional: tuple[Kind, ...] = ()


class HttpSettings(Settings, frozen=True):
    """``[http]``.

    Attributes:
        bind: ``host:port`` or ``unix:/path``.
        token: what clients send as ``Authorization: Bearer`` to every route whose plugin has no
            authentication of its own and does not say that it is open: metrics, documents,
            GraphQL, plugins of yours. None, or an empty one: see ``authentication``.
        authentication: what protects the routes for which there is no token. ``required``:
            nothing else does; then the deployment binds a loopback address (or a Unix socket)
            alone, and answers requests only that programs of this machine send, never a web
            page. ``proxy``: what stands before it authenticates every client, and nobody reaches
            it past that. ``none``: everybody who reaches it may use these routes.
        processes: how many gunicorn workers.
        threads: threads for synchronous responders, in each process; as many again for
            functions of ``services.run``, when there are any.
        max_body: largest request body, bytes.
        keep_alive: seconds an idle connection is kept.
        head_timeout: seconds in which the head of a new connection's first request must have
            come; later ones have ``keep_alive``.
        body_timeout: seconds in which a request's body must have come.
        write_timeout: seconds without progress after which a client that does not read its
            answer is cut off; answers and streams may take any time while it reads.
        grace: seconds a request may take to finish when the process stops.
        shutdown_delay: seconds between turning unready and closing the listener, for a load
            balancer to notice.
        request_id: give every request an id, in logs and as ``X-Request-Id``.
        access_log: one structured log line for each request.
    """

    bind: str = "127.0.0.1:8000"
    token: Secret | None = None
    authentication: Literal["required", "proxy", "none"] = "required"
    processes: Count = 1
    threads: Count = 8
    max_body: Count = 2_097_152
    keep_alive: Positive = 5.0
    head_timeout: Positive = 10.0
    body_timeout: Positive = 60.0
    write_timeout: Positive = 30.0
    grace: Positive = 30.0
    shutdown_delay: Annotated[float, Meta(ge=0)] = 0.0
    request_id: bool = True
    access_log: bool = True


class WorkerSettings(Settings, frozen=True):
    """``[worker]``.

    Attributes:
        processes: how many processes.
        threads: jobs that one process runs at once.
        queues: queues to take from; None takes those of all its actors.
        prefetch: most rows one process claims ahead of its threads.
        grace: seconds a running job may take to finish when the process stops; then it is
            interrupted and handed back, uncounted.
    """

    processes: Count = 1
    threads: Count = 8
    queues: tuple[str, ...] | None = None
    prefetch: Count = 200
    grace: Positive = 25.0


class ConsumerSettings(Settings, frozen=True):
    """``[consumer]``.

    Attributes:
        processes: how many processes.
        threads: handlers that one process runs at once.
        in_flight: most events taken and not yet finished; polling pauses above it.
        grace: seconds running handlers may take to finish when the process stops.
    """

    processes: Count = 1
    threads: Count = 8
    in_flight: Count = 500
    grace: Positive = 25.0


class SchedulerSettings(Settings, frozen=True):
    """``[scheduler]``.

    Attributes:
        lease: seconds for which one scheduler leads without renewing; a dead leader is
            replaced after it.
        sweep: seconds between sweeps for leases of dead processes.
        retention: seconds between removals of what the retention settings let go.
    """

    lease: Positive = 15.0
    sweep: Positive = 5.0
    retention: Positive = 300.0


class LimitSettings(Settings, frozen=True):
    """``[limits]``: how long one plugin may take, before it counts as failed.

    Attributes:
        declare: seconds for its import, and for each of its declaring hooks. They are those of the
            clock: a large library takes ten of them on a machine that starts much else.
        start: seconds for its ``rolehost_start``; never more than half of the supervisor's
            ``start_timeout``, at which the process is killed.
        stop: seconds for its ``rolehost_stop``; the others are stopped all the same.
    """

    declare: Positive = 30.0
    start: Positive = 20.0
    stop: Positive = 3.0


class LogSettings(Settings, frozen=True):
    """``[log]``.

    Attributes:
        level: the least level that is written.
        format: ``console`` for people, ``json`` a JSON object for each line; ``auto`` is
            console on a terminal and JSON elsewhere.
        long_write: seconds for which a transaction may hold the write lock of the database
            before a warning names its actor, handler or responder and the place in the code.
            Only for databases with one writer at a time (``embedded``).
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    long_write: Positive = 3.0


class SupervisorSettings(Settings, frozen=True):
    """``[supervisor]``.

    Attributes:
        start_timeout: seconds in which a process must have become ready; then it is killed
            and started again.
        grace: seconds in which all processes must have stopped; then they are killed.
        hang: seconds without progress after which a process counts as hung: it is reported with
            the stacks of its threads, makes the deployment unready, is told to stop, and is
            killed after the grace of its role and replaced. Measured while the supervisor itself
            runs, so that a suspended machine is no hang. 0 watches nothing.
    """

    start_timeout: Positive = 60.0
    grace: Positive = 35.0
    hang: Annotated[float, Meta(ge=0)] = 60.0


class FleetSettings(Settings, frozen=True):
    """``[fleet]``: how this deployment runs beside others; what ``rolehost fleet`` must know.

    Attributes:
        name: name of the fleet. Deployments of other names are another fleet; one without a
            name belongs to the fleet that it is checked with.
        replicas: how many instances of this deployment run (pods, machines); 0: none for now.
        surge: how many more of them run while a new version rolls out.
        roles: those of its roles that its instances run, unless ``rolehost run --role`` says
            otherwise; None: all.
        machine: where its instances run, any name; deployments of the same machine may share
            what one machine has: a database file, an address. None: each may run anywhere.
        migrations: who brings the schema up: ``process``, one of the processes, if
            ``deployment.migrate`` lets them; ``job``, a ``rolehost migrate up`` with this file
            that runs before them.
        external: topics and actors whose other side is outside the fleet, ``topic:orders``
            (published or handled elsewhere) and ``actor:reports.build`` (worked elsewhere).
        grace: seconds between TERM and KILL that whatever starts the instances gives them
            (Kubernetes: ``terminationGracePeriodSeconds``); None: not known.
        database_connections: connections that the database server leaves to the fleet; None:
            not known.
    """

    name: str = ""
    replicas: Annotated[int, Meta(ge=0)] = 1
    surge: Annotated[int, Meta(ge=0)] = 0
    roles: tuple[Role, ...] | None = None
    machine: str | None = None
    migrations: Literal["process", "job"] = "process"
    external: tuple[Annotated[str, Meta(pattern=r"^(topic|actor):.+$")], ...] = ()
    grace: Positive | None = None
    database_connections: Count | None = None


class HostSettings(Settings, frozen=True):
    """All sections that belong to the host, in one object."""

    deployment: DeploymentSettings = DeploymentSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    delivery: DeliverySettings = DeliverySettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    fleet: FleetSettings = FleetSettings()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value was set: ``deploy/api.toml:12``, ``environment ROLEHOST__HTTP__BIND``,
    ``--plugins`` or ``default``.

    Attributes:
        text: the place.
        secret: whether the value is, or holds, a secret; what came from a file is one.
        given: the texts that references in the value resolved to.
    """

    text: str
    secret: bool = False
    given: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def hidden(self) -> bool:
        """Whether the value is not shown, because it is a secret or references gave it."""
        return self.secret or bool(self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment file with its includes and overrides, read but not yet composed.

    Attributes:
        name: its name.
        path: the file; None for one made in memory.
        plugins: enabled plugins, as written.
        listed: plugins that the files name, even where an override enables others; their
            sections may stay.
        host: the host's sections.
        sections: plugin name → its section as plain values, references resolved to
            :class:`~rolehost.api.Secret` where the type asks for it.
        origins: dotted key → where its value came from.
        on_failure: what happens when a plugin fails, by its name; what is not named is
            ``abort``.
    """

    name: str
    path: Path | None
    plugins: tuple[str, ...]
    host: HostSettings
    sections: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, Origin]
    listed: tuple[str, ...] = ()
    on_failure: Mapping[str, Failure] = field(default_factory=dict)

    def discreet(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return problems that do not show what references gave to the settings they are about.

        Args:
            problems: each names its settings in ``where``, as ``origin, section.key`` or
                ``origin, section``.
        """
        references = [(key, origin) for key, origin in self.origins.items() if origin.given]
        return [_discreet(problem, references) for problem in problems]

    def may_degrade(self, plugin: str) -> bool:
        """Say whether the process goes on without a plugin that fails."""
        return self.on_failure.get(plugin) == "degrade"


def _discreet(problem: Problem, references: Sequence[tuple[str, Origin]]) -> Problem:
    hidden = [
        text
        for key, origin in references
        if f"{origin.text}, {key}" in problem.where
        or re.search(rf"(^|, ){re.escape(key.partition('.')[0])}($|;)", problem.where)
        for text in sorted(origin.given, key=len, reverse=True)
    ]
    if not hidden:
        return problem
    words = ("what", "expected", "got", "fix")
    return replace(problem, **{each: without(getattr(problem, each), hidden) for each in words})
