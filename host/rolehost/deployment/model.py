"""The deployment as data: the host's sections, decoded, and the plugins' sections, raw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rolehost.api.contributions import Role
from rolehost.api.delivery import DeliverySettings
from rolehost.api.settings import Secret, Settings
from rolehost.errors import Problem
from rolehost.redaction import mask_only
from rolehost.storage.capabilities import Kind

#: The effect of a plugin's failure: the deployment does not start, or runs without the plugin.
Failure = Literal["abort", "degrade"]

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class DeploymentSettings(Settings, frozen=True):
    """``[deployment]``.

    Attributes:
        name: name of the deployment; by default the name of the file without its suffix.
        environment: with ``production``, undeclared enqueues, publications and metrics are only
            logged and counted; otherwise they are errors.
        roles: the roles that this deployment must have; a missing or another role is an error. By
            default roles are not checked.
        migrate: ``run`` applies pending migrations before the roles start (phase *post* only if
            no process of the fleet is alive). ``check`` refuses to start if migrations of the
            phase *pre* are pending. The default is ``check`` in production, else ``run``.
        pins: file that ``rolehost plugins --pin`` wrote; a plugin that is not in it, or differs
            from it, is an error and is not imported. By default nothing is pinned.
    """

    name: str = ""
    environment: Literal["production", "development", "test"] = "development"
    roles: tuple[Role, ...] | None = None
    migrate: Literal["run", "check"] | None = None
    pins: Path | None = None


class StorageSettings(Settings, frozen=True):
    """``[storage]``: which backend implements each kind.

    Attributes:
        database: name of the database backend; by default the only one that the plugins offer.
        cache: name of the cache backend; by default the only one that the plugins offer.
        queue: name of the queue backend; by default the only one that the plugins offer.
        stream: name of the stream backend; by default the only one that the plugins offer.
        optional: kinds that the service can run without, perhaps more slowly. A process starts
            and is ready without them. If an optional backend refuses the settings, for example the
            password, the start still fails.
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
        token: the token that clients send as ``Authorization: Bearer`` to every route that is
            not open and whose plugin has no authentication: metrics, documents, GraphQL, your
            own plugins. If it is empty or not set, see ``authentication``.
        authentication: protection of these routes if there is no token. ``required``: the
            deployment must bind a loopback address or a Unix socket, and it answers only requests
            from programs on this machine, never from a web page. ``proxy``: a proxy authenticates
            every client, and no client can bypass it. ``none``: every client may use these routes.
        processes: number of gunicorn workers.
        threads: threads for synchronous responders in each process, and the same number for
            functions of ``services.run``, if it is used.
        max_body: largest request body, bytes.
        keep_alive: seconds that an idle connection is kept.
        head_timeout: seconds in which the head of the first request on a connection must arrive;
            later requests have ``keep_alive``.
        body_timeout: seconds in which the body of a request must arrive.
        write_timeout: seconds without progress after which a client that does not read its
            response is disconnected; while the client reads, a response may take any time.
        grace: seconds that a request may take to finish when the process stops.
        shutdown_delay: seconds between the process becoming unready and the listener being
            closed, so that a load balancer can notice.
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
        processes: number of processes.
        threads: number of jobs that one process runs at the same time.
        concurrency: number of jobs of asynchronous actors, in each queue, that one process runs at
            the same time, beside those in threads.
        queues: queues to take jobs from; by default the queues of all actors of the deployment.
        weights: queue → its share of the threads' time while several queues have durable jobs
            that wait; 1 for other queues. By default their jobs take turns as they come.
        prefetch: maximum number of jobs that one process claims ahead of its threads. Jobs of one
            key that the process claims together count as one.
        grace: seconds that a running job may take to finish when the process stops; after that
            it is interrupted and handed back, and the attempt is not counted.
    """

    processes: Count = 1
    threads: Count = 8
    concurrency: Count = 200
    queues: tuple[str, ...] | None = None
    weights: Mapping[str, Positive] = msgspec.field(default_factory=dict)
    prefetch: Count = 1000
    grace: Positive = 25.0


class ConsumerSettings(Settings, frozen=True):
    """``[consumer]``.

    Attributes:
        processes: number of processes.
        threads: number of handlers that one process runs at the same time.
        in_flight: maximum number of events that are read and not yet handled; at this number the
            process reads no more.
        grace: seconds that running handlers may take to finish when the process stops.
    """

    processes: Count = 1
    threads: Count = 8
    in_flight: Count = 500
    grace: Positive = 25.0


class SchedulerSettings(Settings, frozen=True):
    """``[scheduler]``.

    Attributes:
        lease: seconds of the leader's lease; a dead leader is replaced when its lease has expired.
    """

    lease: Positive = 15.0


class ActorSettings(Settings, frozen=True):
    """``[actors."NAME"]``: one durable actor, and the limits of its jobs over the whole fleet.

    A key that is not set keeps the value of the plugin. ``rolehost limits set`` changes limits
    without a restart.

    Attributes:
        concurrency: maximum number of jobs at the same time.
        rate: maximum number of jobs per second, from one in 30 days to 1,000,000.
        burst: number of jobs that may start at once after a pause; needs a rate.
        partition_concurrency: like ``concurrency``, for each partition of the actor.
        partition_rate: like ``rate``, for each partition of the actor.
        partition_burst: like ``burst``, for each partition of the actor.
        grouped: whether short jobs share a transaction (*group commit*). Set true only for an
            actor whose jobs do nothing but database work.
    """

    concurrency: Count | None = None
    rate: float | None = None
    burst: Count | None = None
    partition_concurrency: Count | None = None
    partition_rate: float | None = None
    partition_burst: Count | None = None
    grouped: bool | None = None


class QueueSettings(Settings, frozen=True):
    """``[queues."NAME"]``: limits of all durable jobs of one queue, over the whole fleet.

    A key that is not set keeps the value of the plugins.

    Attributes:
        concurrency: maximum number of jobs at the same time.
        rate: maximum number of jobs per second, from one in 30 days to 1,000,000.
        burst: number of jobs that may start at once after a pause; needs a rate.
    """

    concurrency: Count | None = None
    rate: float | None = None
    burst: Count | None = None


class LimitSettings(Settings, frozen=True):
    """``[limits]``: how long one plugin may take before it counts as failed.

    Attributes:
        declare: seconds for the import of a plugin, and for each of its declaring hooks. This is
            wall-clock time: on a busy machine a large library may take ten seconds.
        start: seconds for ``rolehost_start``; at most half of ``[supervisor] start_timeout``,
            after which the supervisor kills the process.
        stop: seconds for ``rolehost_stop``; after that the next plugin is stopped.
    """

    declare: Positive = 30.0
    start: Positive = 20.0
    stop: Positive = 3.0


class LogSettings(Settings, frozen=True):
    """``[log]``.

    Attributes:
        level: the lowest level that is written.
        format: ``console`` for people, ``json`` for one JSON object a line; ``auto`` is
            ``console`` on a terminal and ``json`` elsewhere.
        long_write: seconds that a transaction may hold the write lock of the database before a
            warning names its actor, handler or responder and the location in the code. Only for
            databases with one writer at a time (``embedded``).
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    long_write: Positive = 3.0


class SupervisorSettings(Settings, frozen=True):
    """``[supervisor]``.

    Attributes:
        start_timeout: seconds in which a process must become ready; after that it is killed and
            restarted.
        grace: seconds in which all processes must stop; after that they are killed.
        hang: seconds without progress after which a process is hung. The supervisor logs the
            stacks of the threads of the process, and the deployment becomes unready. The process
            gets TERM, is killed after the grace of its role, and is replaced. Only time in which
            the supervisor itself runs counts, so a suspended machine is not a hang. 0: no process
            is treated as hung, and no process is replaced because of a stuck job.
    """

    start_timeout: Positive = 60.0
    grace: Positive = 35.0
    hang: Annotated[float, Meta(ge=0)] = 60.0


class FleetSettings(Settings, frozen=True):
    """``[fleet]``: facts about this deployment and its fleet, for ``rolehost fleet``.

    Attributes:
        name: name of the fleet, the same in all its deployments. A deployment without a name
            belongs to the fleet that it is checked with.
        replicas: number of instances of this deployment (pods, machines); 0 if none run now.
        surge: number of additional instances while a new version rolls out.
        roles: the roles that its instances run, unless ``rolehost run --role`` names others; by
            default all.
        machine: name of the machine where its instances run. Deployments on the same machine may
            share a database file or conflict over an address. By default each instance may run
            on any machine.
        migrations: how the schema is migrated. ``process``: one of the processes migrates it, if
            ``deployment.migrate`` allows it. ``job``: ``rolehost migrate up`` with this file runs
            before the processes.
        external: topics and actors that systems outside the fleet use: ``topic:orders`` is
            published or handled elsewhere, the jobs of ``actor:reports.build`` run elsewhere.
        grace: seconds between TERM and KILL that the orchestrator gives the instances
            (Kubernetes: ``terminationGracePeriodSeconds``), if known.
        database_connections: connections that the database server allows the fleet, if known.
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
    """All sections that belong to the host; ``actors`` and ``queues`` consist of named tables."""

    deployment: DeploymentSettings = DeploymentSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    delivery: DeliverySettings = DeliverySettings()
    actors: dict[str, ActorSettings] = msgspec.field(default_factory=dict)
    queues: dict[str, QueueSettings] = msgspec.field(default_factory=dict)
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    fleet: FleetSettings = FleetSettings()


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of one value: ``deploy/api.toml:12``, ``environment ROLEHOST__HTTP__BIND``,
    ``--plugins`` or ``default``.

    ``secret``: the value is or contains a secret, for example a text from a file. ``resolved``: the
    texts that replaced the references in the value.
    """

    text: str
    secret: bool = False
    resolved: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def hidden(self) -> bool:
        """Whether the value is not shown, because it is a secret or comes from references."""
        return self.secret or bool(self.resolved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment file with its includes and overrides, read but not yet composed.

    Attributes:
        path: the file; None for one made in memory.
        listed: plugins that the files enable, even if an override disables them; their sections
            are allowed.
        sections: plugin name → its section as plain values. References are resolved, to
            :class:`~rolehost.api.Secret` if the text is from a file.
        origins: dotted key → the source of its value.
        on_failure: plugin name → the effect of its failure; the default is ``abort``.
    """

    name: str
    path: Path | None
    plugins: tuple[str, ...]
    host: HostSettings
    sections: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, Origin]
    listed: tuple[str, ...] = ()
    on_failure: Mapping[str, Failure] = field(default_factory=dict)

    def redact(self, problems: Iterable[Problem]) -> list[Problem]:
        """Mask the texts from references in the problems of their settings.

        A problem has settings if its ``where`` is a :class:`~rolehost.errors.SettingLocation`.
        """
        return [self._redact(problem) for problem in problems]

    def _redact(self, problem: Problem) -> Problem:
        settings = getattr(problem.where, "settings", ())
        hidden = [
            text
            for key, origin in self.origins.items()
            if origin.resolved and any(_overlap(key, setting) for setting in settings)
            for text in sorted(origin.resolved, key=len, reverse=True)
        ]
        if not hidden:
            return problem
        texts = {name: getattr(problem, name) for name in ("what", "expected", "got", "fix")}
        return replace(problem, **{name: mask_only(text, hidden) for name, text in texts.items()})

    def may_degrade(self, plugin: str) -> bool:
        """Return whether the process may run without a plugin if it fails."""
        return self.on_failure.get(plugin) == "degrade"


def _overlap(one: str, other: str) -> bool:
    """Return whether two keys are equal, or one is the key of a table that contains the other."""
    one, other = f"{one}.", f"{other}."
    return one.startswith(other) or other.startswith(one)
