"""Roll out a fleet: check, plan, migrate, replace each deployment, roll back on failure.

Call it with ``scripts/deploy.sh``. ``rolehost fleet plan live`` gives the order: the migrations of
phase *pre*, then the deployments one after the other, then the migrations of phase *post*. The
script waits until a deployment is ready before it starts the next one. The *post* migrations run
when no old process is left.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.deploy_targets import TARGETS, Failed, Shell, Target

#: Seconds between two polls of a ``wait`` step.
POLL = 2.0


class Step(NamedTuple):
    """One step of the plan and its object: ``migrate``, ``start``, ``roll``, ``stop``, ``wait``."""

    kind: str
    what: str
    text: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 (a step failed and was rolled back) or 2 (refused)."""
    options = _options(arguments)
    shell = Shell(dry=options.dry_run)
    target = TARGETS[options.target](shell, options)
    try:
        _check(target, options)
        steps = _plan(target, options)
    except Failed as error:
        print(f"deploy: {error}; nothing was changed", file=sys.stderr)
        return 2
    if not steps:
        print("deploy: nothing changes")
        return 0
    return _roll_out(target, steps, options)


def _roll_out(target: Target, steps: Sequence[Step], options: argparse.Namespace) -> int:
    done: list[Step] = []
    try:
        for number, step in enumerate(steps, 1):
            print(f"deploy: {number} of {len(steps)}: {step.text}", flush=True)
            # A failed step may be half done, so it is rolled back too.
            done.append(step)
            _do(target, step, options)
    except (Failed, KeyboardInterrupt) as error:
        print(f"deploy: {error or 'interrupted'}; going back", file=sys.stderr)
        return _go_back(target, done, options)
    print("deploy: done" if not options.dry_run else "deploy: nothing was changed (--dry-run)")
    return 0


def _do(target: Target, step: Step, options: argparse.Namespace) -> None:
    match step.kind:
        case "migrate":
            target.migrate(step.what)
        case "start" | "roll":
            target.roll(step.what)
        case "stop":
            target.stop(step.what)
        case "wait":
            _wait(target, step, options)


def _go_back(target: Target, done: Sequence[Step], options: argparse.Namespace) -> int:
    """Undo the steps, last first. *pre* migrations stay: the old code works with them."""
    if options.undo:
        target.shell.run(["sh", "-c", options.undo])
    broken = []
    for step in reversed(done):
        try:
            if step.kind == "start":
                target.stop(step.what)
            elif step.kind in ("roll", "stop"):
                target.back(step.what)
        except Failed as error:
            broken.append(f"{step.what}: {error}")
    for each in broken:
        print(f"deploy: could not go back: {each}", file=sys.stderr)
    return 1


def _check(target: Target, options: argparse.Namespace) -> None:
    target.rolehost("fleet", "check", "--strict", options.deployments)


def _plan(target: Target, options: argparse.Namespace) -> list[Step]:
    """Show the plan and return its steps.

    Raises:
        Failed: the plan forbids the rollout, or the database cannot be reached.
    """
    arguments = ["fleet", "plan", "live", options.deployments]
    arguments += ["--fleet", options.fleet] if options.fleet else []
    arguments += [word for who in options.accept for word in ("--accept", who)]
    found = target.look(*arguments, "--json")
    if found.returncode == 4 and "no tables yet" in found.stderr:
        print("deploy: the first deployment: the tables are made first")
        target.migrate("pre")
        if options.dry_run:
            return []
        found = target.look(*arguments, "--json")
    if not found.stdout.strip():
        raise Failed(found.stderr.strip() or f"rolehost {shlex.join(arguments)} failed")
    plan: dict[str, Any] = json.loads(found.stdout)
    for problem in [*plan["errors"], *plan["warnings"]]:
        print(f"deploy: {problem['code']}: {problem['what']}; {problem['fix']}", file=sys.stderr)
    if plan["errors"]:
        raise Failed(f"the plan has {len(plan['errors'])} errors")
    return [Step(each["kind"], each["what"], each["text"]) for each in plan["steps"]]


def _wait(target: Target, step: Step, options: argparse.Namespace) -> None:
    """Wait until the plan no longer contains this step: the remaining work is done."""
    if options.dry_run:
        return
    deadline = time.monotonic() + options.timeout
    while any(each == step.what for each in _left(target, options)):
        if time.monotonic() > deadline:
            raise Failed(f"{step.what} were still there after {options.timeout:g} s")
        time.sleep(POLL)


def _left(target: Target, options: argparse.Namespace) -> list[str]:
    named = ["--fleet", options.fleet] if options.fleet else []
    found = target.look("fleet", "plan", "live", options.deployments, *named, "--json")
    if not found.stdout.strip():
        raise Failed(found.stderr.strip())
    steps = json.loads(found.stdout)["steps"]
    return [
        each["what"] for each in steps if each["kind"] == "wait" and "(0 now)" not in each["text"]
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy.sh",
        description="Roll out a fleet in the order of its plan; go back if a step fails.",
    )
    parser.add_argument("target", choices=sorted(TARGETS), help="where the fleet runs")
    parser.add_argument("deployments", help="a folder or a quoted pattern of deployment files")
    parser.add_argument("--fleet", metavar="NAME", help="the fleet, if the files hold several")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, change nothing")
    parser.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long a deployment may take until it is ready; default 120",
    )
    parser.add_argument(
        "--accept", action="append", default=[], metavar="WHO", help="as of rolehost fleet plan"
    )
    parser.add_argument(
        "--undo",
        metavar="COMMAND",
        help="shell command that puts the former files or image tag back, before going back",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("var/deploy"),
        metavar="DIR",
        help="processes: folder of process ids and logs; default var/deploy",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.SubprocessError as error:
        sys.exit(f"deploy: {error}")
