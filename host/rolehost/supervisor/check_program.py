"""``python -m rolehost.supervisor.check_program``: composes a new deployment and judges it.

A process of its own, so that the supervisor stays small and the code of distributions that were
upgraded meanwhile is what is looked at. Answers on the pipe of the status variable: a line when
it has composed, then one JSON object; see :class:`rolehost.supervisor.check.CheckProcess`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StartError,
    StorageRefused,
    StorageUnavailable,
)
from rolehost.roles.status import CANNOT_START, MISCONFIGURED, SOURCES_VARIABLE, STATUS_VARIABLE
from rolehost.supervisor.check import COMPOSED, EXIT_FAILED
from rolehost.supervisor.plan import ProcessPlan

if TYPE_CHECKING:
    from rolehost.composition import Composition
    from rolehost.storage import Database

#: Exit status of ``rolehost run`` for a deployment without a role, here too.
NOTHING_TO_RUN = 5


def main(arguments: list[str] | None = None) -> int:
    """Answer; return 0, for the answer says how it went."""
    parser = argparse.ArgumentParser(prog="python -m rolehost.supervisor.check_program")
    parser.add_argument("--deployment", type=Path)
    parser.add_argument("--plugins")
    parser.add_argument("--only", default="")
    parser.add_argument("--after", type=json.loads)
    given = parser.parse_args(arguments)
    output = int(os.environ.pop(STATUS_VARIABLE))
    sources = int(os.environ.pop(SOURCES_VARIABLE))
    if given.after is None:
        answer = judged(lambda: _accepted(given, sources, output))
    else:
        answer = judged(lambda: _finished(given, sources))
    with os.fdopen(output, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    return 0


def judged(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``work`` returns, or what it raised as an answer."""
    try:
        return {"status": 0, **work()}
    except ConfigurationError as error:
        problems = [problem.as_dict() for problem in error.problems]
        return {"status": MISCONFIGURED, "problems": problems}
    except StorageRefused as error:
        return {"status": MISCONFIGURED, "words": str(error)}
    except (StartError, StorageUnavailable) as error:
        return {"status": CANNOT_START, "words": str(error)}
    except NothingToRun as error:
        return {"status": NOTHING_TO_RUN, "words": str(error)}
    except RolehostError as error:
        return {"status": EXIT_FAILED, "words": str(error)}


class NothingToRun(RolehostError):
    """The new deployment has no role, or not one that was asked for."""


def _accepted(given: argparse.Namespace, kept: int, output: int) -> dict[str, Any]:
    """Compose what is on disk, keep its texts, bring the schema up as far as that may be now.

    Returns:
        ``plan``; ``living``: ids of the processes that run at this moment; ``migrated``: what
        was applied; ``later``: whether migrations of the phase *post* are pending.
    """
    from rolehost.deployment import Sources

    sources = Sources()
    composition = _composed(given, sources)
    only = [role for role in given.only.split(",") if role]
    for role in only:
        if role not in composition.roles:
            raise NothingToRun(
                f"the new deployment has no role {role}, which is to be run (--role {role});"
                f" its roles: {', '.join(composition.roles) or 'none'}"
            )
    plan = ProcessPlan.of(composition, _arguments(given), only=only)
    if not plan.roles:
        raise NothingToRun("the new deployment has nothing to run: no plugin contributes a role")
    sources.write(kept)
    os.write(output, COMPOSED)
    return {"plan": plan.to_json(), **_with_database(composition, _before)}


def _finished(given: argparse.Namespace, kept: int) -> dict[str, Any]:
    """Apply what waited for the older processes to be gone.

    Returns:
        ``migrated``: what was applied; ``waiting``: what still waits, for others of the fleet
        are as old.
    """
    from rolehost.deployment import Sources

    composition = _composed(given, Sources.kept(kept))
    older = frozenset(given.after)
    return _with_database(composition, lambda one, two: _after(one, two, older))


def _composed(given: argparse.Namespace, sources: Any) -> Composition:
    from rolehost.composition import examine, in_order
    from rolehost.deployment import read
    from rolehost.observe import logs

    plugins = given.plugins.split(",") if given.plugins else None
    deployment, mistakes = read(given.deployment, plugins=plugins, sources=sources)
    composition, problems = examine(deployment)
    if composition is None or mistakes:
        raise ConfigurationError(in_order((*mistakes, *problems)))
    logs.configure(deployment.host.log, deployment=deployment.name, role="reload")
    return composition


def _arguments(given: argparse.Namespace) -> list[str]:
    arguments = []
    for option in ("deployment", "plugins"):
        if getattr(given, option) is not None:
            arguments += [f"--{option}", str(getattr(given, option))]
    return arguments


def _with_database(
    composition: Composition, work: Callable[[Composition, Database], dict[str, Any]]
) -> dict[str, Any]:
    backend = composition.backends.get("database")
    if backend is None:
        return {}
    database = backend.value.factory()
    try:
        with database.session():
            return work(composition, database)
    finally:
        database.close()


def _before(composition: Composition, database: Database) -> dict[str, Any]:
    from rolehost.roles.migrating import living, policy_of
    from rolehost.schema import HOST_SET, pending, require_pre, up

    sets = [HOST_SET, *composition.schema_sets]
    applied = []
    if policy_of(composition) == "run":
        applied = [each.site for each in up(database, sets, phase="pre")]
        later = bool(pending(database, sets))
    else:
        require_pre(database, sets)
        later = False
    return {"migrated": applied, "later": later, "living": living(database)}


def _after(composition: Composition, database: Database, older: frozenset[str]) -> dict[str, Any]:
    from rolehost.roles.migrating import living
    from rolehost.schema import HOST_SET, pending, up

    sets = [HOST_SET, *composition.schema_sets]
    if older.intersection(living(database)):
        return {"migrated": [], "waiting": [each.site for each in pending(database, sets)]}
    return {"migrated": [each.site for each in up(database, sets)], "waiting": []}


if __name__ == "__main__":
    sys.exit(main())
