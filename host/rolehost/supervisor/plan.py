"""The plan of the supervisor: the processes of one deployment, and the supervisor's settings."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from rolehost.roles.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rolehost.composition.model import Composition

#: Environment variable that carries a :class:`ProcessPlan` as JSON.
PLAN_VARIABLE = "ROLEHOST_PLAN"

#: Option of role processes: they migrate, because ``rolehost run`` could not reach the database.
MIGRATE = "--migrate"

#: The order of the drain; workers are last, because requests, schedules and events enqueue jobs.
DRAIN_ORDER = ("http", "scheduler", "consumer", "worker")

#: Seconds that the scheduler may take to stop; it has no work in flight.
SCHEDULER_GRACE = 5.0


class RolePlan(NamedTuple):
    """The processes of one role, and the seconds that each may take to stop.

    ``http`` has one process, gunicorn's master; the worker processes are its children.
    """

    role: str
    processes: int = 1
    grace: float = 25.0


class StartedProcess(NamedTuple):
    """The first process of a slot, and the read end of its status pipe."""

    pid: int
    status: int


class ProcessPlan(NamedTuple):
    """The input of the supervisor. Times are seconds.

    Attributes:
        roles: the processes to start, in this order.
        arguments: arguments of every role process: ``--deployment PATH``, ``--plugins a,b``.
        command: program of a role process; empty for ``python -m rolehost.roles``.
        check_command: program that checks a new deployment; empty for ``python -m
            rolehost.supervisor.check_program``.
        started_at: :func:`time.monotonic` when the command began; 0.0 for the supervisor's start.
        started: the first process of each slot, if they run already; else empty.
        path: the deployment file, absolute, or empty. Symbolic links are not resolved, because
            a link may have another target at a reload.
        only: roles that ``--role`` named; empty for all.
        listener: file descriptor of the listening socket, or -1.
        sources: file descriptor of the texts of the deployment (:class:`rolehost.deployment.
            Sources`); -1 if processes read them from disk.
        hidden: texts in this plan that logs mask, because they are the values of references, for
            example to environment variables.
        board: file descriptor of the :class:`~rolehost.observe.board.Board`; -1 for a new one.
    """

    name: str
    roles: tuple[RolePlan, ...]
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    check_command: tuple[str, ...] = ()
    backoff: Backoff = Backoff()
    start_timeout: float = 60.0
    grace: float = 35.0
    hang: float = 60.0
    log_level: str = "info"
    log_format: str = "auto"
    started_at: float = 0.0
    started: tuple[StartedProcess, ...] = ()
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
        started_at: float = 0.0,
    ) -> ProcessPlan:
        """Plan the processes of a composition.

        ``only`` names their roles; if it is empty, ``[fleet] roles`` does (default: all roles).
        """
        deployment = composition.deployment
        host = deployment.host
        role_plans = {
            "http": RolePlan("http", 1, host.http.shutdown_delay + host.http.grace),
            "worker": RolePlan("worker", host.worker.processes, host.worker.grace),
            "consumer": RolePlan("consumer", host.consumer.processes, host.consumer.grace),
            "scheduler": RolePlan("scheduler", 1, SCHEDULER_GRACE),
        }
        chosen = [role for role in composition.roles if role in (only or composition.roles_run)]
        references = (deployment.origins.get(key) for key in ("http.bind", "deployment.name"))
        return cls(
            name=deployment.name,
            roles=tuple(role_plans[role] for role in chosen),
            arguments=tuple(arguments),
            start_timeout=host.supervisor.start_timeout,
            grace=host.supervisor.grace,
            hang=host.supervisor.hang,
            log_level=host.log.level,
            log_format=host.log.format,
            started_at=started_at,
            path=str(deployment.path.absolute()) if deployment.path else "",
            only=tuple(only),
            plugins=tuple(plugin.name for plugin in composition.plugins),
            bind=host.http.bind if "http" in chosen else "",
            hidden=tuple(text for origin in references if origin for text in origin.resolved),
        )

    def to_json(self) -> str:
        """Return the plan as JSON."""
        fields = self._asdict()
        fields["roles"] = [role._asdict() for role in self.roles]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> ProcessPlan:
        """Read a plan from JSON."""
        fields: dict[str, Any] = json.loads(text)
        for name, value in fields.items():
            if isinstance(value, list):
                fields[name] = tuple(value)
        fields["roles"] = tuple(RolePlan(**role) for role in fields["roles"])
        fields["backoff"] = Backoff(*fields["backoff"])
        fields["started"] = tuple(StartedProcess(*each) for each in fields["started"])
        return cls(**fields)


def module_command(module: str) -> list[str]:
    """Return the command that runs a module in this Python.

    Without ``-P``, a file in the working directory could shadow a module.
    """
    return [sys.executable, "-P", "-m", module]


def become_supervisor(plan: ProcessPlan) -> NoReturn:
    """Replace this process by the supervisor (exec), which frees the memory of composing."""
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, PLAN_VARIABLE: plan.to_json()}
    os.execve(sys.executable, module_command("rolehost.supervisor"), environment)
