"""What the supervisor is told: which processes, and how patient to be with them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rolehost.composition.model import Composition

#: Environment variable that carries a :class:`ProcessPlan` as JSON.
PLAN_VARIABLE = "ROLEHOST_PLAN"

#: Argument of role processes that bring the schema up themselves, since the command that began
#: it all found the database away.
MIGRATE = "--migrate"

#: The order in which kinds of process are drained: first nothing comes in any more, then no
#: ticks, no events, and last what those have enqueued.
DRAIN_ORDER = ("http", "scheduler", "consumer", "worker")

#: Seconds the scheduler may take to stop; it holds no work.
SCHEDULER_GRACE = 5.0


class RolePlan(NamedTuple):
    """One kind of process.

    Attributes:
        role: its role.
        processes: how many of it the supervisor starts. The processes of ``http`` are
            gunicorn's children, so there it is 1.
        grace: seconds such a process takes at most to finish its work when it is told to stop.
    """

    role: str
    processes: int = 1
    grace: float = 25.0


class Started(NamedTuple):
    """A first process that runs already, a child of the process that becomes the supervisor.

    Attributes:
        role: its role.
        number: its slot.
        pid: its process id.
        status: our end of its status pipe, a file descriptor.
    """

    role: str
    number: int
    pid: int
    status: int


class ProcessPlan(NamedTuple):
    """Everything the supervisor needs to know; seconds unless said otherwise.

    Attributes:
        name: name of the deployment, for its lines.
        roles: the processes to start, in this order.
        arguments: given to every role process: ``--deployment PATH``, ``--plugins a,b``.
        command: program and first arguments of a role process; empty takes
            ``python -m rolehost.roles``.
        candidate: the same of the process that checks a new deployment; empty takes
            ``python -m rolehost.supervisor.check_program``.
        backoff: delay before the first restart of a process that died.
        backoff_longest: upper bound of that delay, which doubles with every death in a row.
        stable: after so long a process counts as well and its delay starts anew; it is also the
            longest delay of one that was ready.
        start_timeout: so long may a process take to become ready, before it is killed; one that
            says it waits for a backend may take as long as it must.
        grace: after so long all processes must have stopped; then they are killed.
        hang: after so long without progress a process is hung and is replaced; 0: never.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``auto``, ``console`` or ``json``.
        began: :func:`time.monotonic` when the command began, for the time to ready; 0.0 takes
            the start of the supervisor.
        started: first processes that run already; the others are started.
        path: the deployment file, absolute; empty without one. Who asks for a reload names it.
            Links in it are kept: what they mean may be what changes.
        only: roles that were named to be run; empty: all.
        plugins: names of the enabled plugins.
        bind: address of the role http; empty without it.
        listener: file descriptor of its listening socket, -1: its processes open it.
        sources: file descriptor of the deployment's texts, see
            :class:`~rolehost.deployment.Sources`; -1: they are read from disk.
        hidden: texts in this plan that references gave, and that no line may show.
        board: file descriptor of the board on which the processes are told which of them hang;
            -1: the supervisor makes one.
    """

    name: str
    roles: tuple[RolePlan, ...]
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    candidate: tuple[str, ...] = ()
    backoff: float = 0.1
    backoff_longest: float = 30.0
    stable: float = 2.0
    start_timeout: float = 60.0
    grace: float = 35.0
    hang: float = 60.0
    log_level: str = "info"
    log_format: str = "auto"
    began: float = 0.0
    started: tuple[Started, ...] = ()
    path: str = ""
    only: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    bind: str = ""
    listener: int = -1
    sources: int = -1
    hidden: tuple[str, ...] = ()
    board: int = -1

    @classmethod
    def of(
        cls,
        composition: Composition,
        arguments: Sequence[str] = (),
        *,
        only: Collection[str] = (),
        began: float = 0.0,
    ) -> ProcessPlan:
        """Make the plan for a composition.

        Args:
            composition: its roles and its host's settings are used.
            arguments: how a child finds the same deployment again.
            only: roles to run, of those of the composition; empty runs those that ``[fleet]
                roles`` names, else all.
            began: see the attribute.
        """
        host = composition.deployment.host
        kinds = {
            "http": RolePlan("http", 1, host.http.shutdown_delay + host.http.grace),
            "worker": RolePlan("worker", host.worker.processes, host.worker.grace),
            "consumer": RolePlan("consumer", host.consumer.processes, host.consumer.grace),
            "scheduler": RolePlan("scheduler", 1, SCHEDULER_GRACE),
        }
        told, origins = host.supervisor, composition.deployment.origins
        shown = (origins.get(key) for key in ("http.bind", "deployment.name"))
        chosen = only or composition.running
        return cls(
            name=composition.deployment.name,
            roles=tuple(kinds[role] for role in composition.roles if role in chosen),
            arguments=tuple(arguments),
            backoff=told.backoff,
            backoff_longest=told.backoff_longest,
            stable=told.stable,
            start_timeout=told.start_timeout,
            grace=told.grace,
            hang=told.hang,
            log_level=host.log.level,
            log_format=host.log.format,
            began=began,
            path=str(path.absolute()) if (path := composition.deployment.path) else "",
            only=tuple(only),
            plugins=tuple(plugin.name for plugin in composition.plugins),
            bind=host.http.bind if "http" in composition.roles and "http" in chosen else "",
            hidden=tuple(text for origin in shown if origin for text in origin.given),
        )

    def to_json(self) -> str:
        """Return the plan as JSON."""
        fields = self._asdict()
        fields["roles"] = [role._asdict() for role in self.roles]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> ProcessPlan:
        """Read what :meth:`to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        for name, value in fields.items():
            if isinstance(value, list):
                fields[name] = tuple(value)
        fields["roles"] = tuple(RolePlan(**role) for role in fields["roles"])
        fields["started"] = tuple(Started(*each) for each in fields.get("started", ()))
        return cls(**fields)


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of ours in this Python.

    With ``-P``, because ``-m`` alone puts the working directory first on ``sys.path``: a file
    there that is named like a module would be imported instead. A ``PYTHONPATH`` still counts.
    """
    return [sys.executable, "-P", "-m", module]


def become_supervisor(plan: ProcessPlan) -> NoReturn:
    """Become the supervisor: replace this process, and give back the memory of composing.

    Its exit status is then that of the command: see :func:`rolehost.supervisor.parent.run`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, PLAN_VARIABLE: plan.to_json()}
    os.execve(sys.executable, module_command("rolehost.supervisor"), environment)
