"""``python -m rolehost.supervisor``: the supervisor as a process of its own.

Takes a plan from the environment, where :func:`rolehost.supervisor.plan.become_supervisor` puts
it, or from its arguments:
``--roles http:1,worker:2 [--deployment PATH] [--plugins a,b]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rolehost.supervisor.parent import run
from rolehost.supervisor.plan import PLAN_VARIABLE, ProcessPlan, RolePlan


def plan_of(arguments: Sequence[str]) -> ProcessPlan:
    """Read a plan from command-line arguments; what they do not name keeps its default.

    Raises:
        SystemExit: the arguments are wrong; status 2.
    """
    import argparse

    parser = argparse.ArgumentParser(prog="python -m rolehost.supervisor")
    parser.add_argument("--roles", required=True, help="http:1,worker:2")
    parser.add_argument("--deployment", help="deployment file")
    parser.add_argument("--plugins", help="names, instead of the file's")
    given = parser.parse_args(arguments)
    roles = []
    for part in given.roles.split(","):
        role, _, count = part.partition(":")
        if count and not (count.isdecimal() and int(count)):
            parser.error(f"--roles: {part!r} is not ROLE or ROLE:COUNT")
        roles.append(RolePlan(role, int(count or 1)))
    passed: list[str] = []
    for option in ("deployment", "plugins"):
        if getattr(given, option):
            passed += [f"--{option}", getattr(given, option)]
    name = Path(given.deployment or "rolehost").stem
    return ProcessPlan(name=name, roles=tuple(roles), arguments=tuple(passed))


def main() -> int:
    """Run the supervisor; return its exit status."""
    text = os.environ.pop(PLAN_VARIABLE, None)
    plan = ProcessPlan.from_json(text) if text else plan_of(sys.argv[1:])
    return run(plan)


if __name__ == "__main__":
    sys.exit(main())
