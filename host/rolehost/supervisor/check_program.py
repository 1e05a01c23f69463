"""``python -m rolehost.supervisor.check_program``: compose a new deployment for a reload.

It is a separate process, so that the supervisor stays small and the check imports the code of
upgraded distributions. It writes to its status pipe: a line after composing, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rolehost.composition import Composition, examine, in_order
from rolehost.deployment import Sources, read
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StartError,
    StorageRefused,
    StorageUnavailable,
)
from rolehost.observe import logs
from rolehost.roles.migrating import migrate_command, migrate_policy, running_processes
from rolehost.roles.status import CANNOT_START, MISCONFIGURED, SOURCES_VARIABLE, STATUS_VARIABLE
from rolehost.schema import HOST_SET, pending, require_pre, up
from rolehost.storage import Database
from rolehost.supervisor.check import COMPOSED, EXIT_FAILED
from rolehost.supervisor.plan import ProcessPlan

#: Exit status for a deployment without a role; ``rolehost run`` has the same one.
NOTHING_TO_RUN = 5


class NothingToRun(RolehostError):
    """The new deployment has no role, or lacks a role that ``--role`` named."""


def main() -> int:
    """Write the answer; return 0 even if the check failed, because the answer says so."""
    parser = argparse.ArgumentParser(prog="python -m rolehost.supervisor.check_program")
    parser.add_argument("--deployment", type=Path)
    parser.add_argument("--plugins")
    parser.add_argument("--only", default="")
    parser.add_argument("--after", type=json.loads)
    options = parser.parse_args()
    output = int(os.environ.pop(STATUS_VARIABLE))
    sources = int(os.environ.pop(SOURCES_VARIABLE))
    try:
        if options.after is None:
            answer = _check(options, sources, output)
        else:
            answer = _migrate_post(options, sources)
        answer["status"] = 0
    except RolehostError as error:
        answer = _refusal(error)
    with os.fdopen(output, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    return 0


def _refusal(error: RolehostError) -> dict[str, Any]:
    match error:
        case ConfigurationError():
            problems = [problem.as_dict() for problem in error.problems]
            return {"status": MISCONFIGURED, "problems": problems}
        case StorageRefused():
            status = MISCONFIGURED
        case StartError() | StorageUnavailable():
            status = CANNOT_START
        case NothingToRun():
            status = NOTHING_TO_RUN
        case _:
            status = EXIT_FAILED
    return {"status": status, "message": str(error)}


def _check(options: argparse.Namespace, sources_fd: int, output: int) -> dict[str, Any]:
    """Compose the deployment on disk, and write its texts to ``sources_fd``.

    Then apply the migrations of the phase *pre*, or with the policy ``check`` require them. In the
    answer, ``running`` has the ids of the running processes, and ``post_pending`` tells whether
    migrations of the phase *post* wait.
    """
    sources = Sources()
    composition = _compose(options, sources)
    only = [role for role in options.only.split(",") if role]
    for role in only:
        if role not in composition.roles:
            raise NothingToRun(
                f"the new deployment has no role {role}, but --role {role} was given;"
                f" its roles: {', '.join(composition.roles) or 'none'}"
            )
    plan = ProcessPlan.of(composition, only=only)
    if not plan.roles:
        raise NothingToRun("the new deployment has nothing to run: no plugin contributes a role")
    sources.write(sources_fd)
    os.write(output, COMPOSED)
    answer: dict[str, Any] = {"plan": plan.to_json()}
    sets = [HOST_SET, *composition.schema_sets]
    with _database(composition) as database:
        if database is not None:
            if migrate_policy(composition) == "run":
                answer["migrated"] = [each.location for each in up(database, sets, phase="pre")]
                answer["post_pending"] = bool(pending(database, sets))
            else:
                require_pre(database, sets, migrate_command(composition))
            answer["running"] = running_processes(database)
    return answer


def _migrate_post(options: argparse.Namespace, sources_fd: int) -> dict[str, Any]:
    """Apply the phase *post*, unless older processes run, for example of other deployments."""
    composition = _compose(options, Sources.from_descriptor(sources_fd))
    sets = [HOST_SET, *composition.schema_sets]
    with _database(composition) as database:
        assert database is not None
        if set(options.after).intersection(running_processes(database)):
            return {"waiting": [each.location for each in pending(database, sets)]}
        return {"migrated": [each.location for each in up(database, sets)]}


def _compose(options: argparse.Namespace, sources: Sources) -> Composition:
    plugins = options.plugins.split(",") if options.plugins else None
    deployment, errors = read(options.deployment, plugins=plugins, sources=sources)
    composition, problems = examine(deployment)
    if composition is None or errors:
        raise ConfigurationError(in_order((*errors, *problems)))
    logs.configure(deployment.host.log, deployment=deployment.name, role="reload")
    return composition


@contextmanager
def _database(composition: Composition) -> Iterator[Database | None]:
    backend = composition.backends.get("database")
    if backend is None:
        yield None
        return
    database = backend.value.factory()
    try:
        with database.session():
            yield database
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
