"""``rolehost reload``: asks a running supervisor to load the changed deployment file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_json, print_problems
from rolehost.errors import Problem, RolehostError
from rolehost.supervisor.control import RunningSupervisor, running_supervisors

#: Key of the result → label, in the order of the output.
LABELS = {
    "enabled": "enabled:",
    "disabled": "disabled:",
    "migrated": "migrated:",
    "waiting": "pending until older processes have ended ({}):",
}


@click.command()
@takes_deployment()
@click.option("--pid", type=int, help="Process id of the supervisor, if several run this file.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Maximum time to wait for each step; the reload continues without the command.",
)
@as_json
@click.pass_obj
def reload(context: Context, pid: int | None, timeout: float, as_json: bool) -> int:
    """Replace the processes of a running deployment after its file has changed.

    The new deployment is composed and checked first. If it has errors, they are printed, nothing
    changes, and the exit status is 3. Otherwise processes are replaced one by one: each new process
    is ready before the old process stops. If a new process does not become ready, the reload is
    rolled back. No request fails and no work is lost. TERM to the supervisor stops the deployment
    at any time.
    """
    if context.plugins is not None:
        raise click.UsageError("a reload cannot change --plugins; rolehost run keeps its value")
    found = running_supervisors()
    try:
        supervisor = _choose(found, pid, context.path)
        result = _follow(supervisor, timeout, quiet=as_json)
    finally:
        for each in found:
            each.close()
    if as_json:
        print_json(result)
    else:
        _print_result(result, context.command("migrate up --phase post"))
    return int(result["status"])


def _choose(
    found: list[RunningSupervisor], pid: int | None, path: Path | None
) -> RunningSupervisor:
    if pid is not None:
        matches = [each for each in found if each.pid == pid]
        what = f"with process id {pid}"
    elif path is None:
        matches = [each for each in found if not each.path]
        what = "runs without a deployment file"
    else:
        real = os.path.realpath(path)
        matches = [each for each in found if each.path and os.path.realpath(each.path) == real]
        what = f"runs {path}"
    if len(matches) == 1:
        return matches[0]
    if matches:
        known = _listed(matches)
        raise RolehostError(f"more than one supervisor {what}; choose one with --pid: {known}")
    others = f"running: {_listed(found)}" if found else "this user runs no supervisor here"
    raise RolehostError(f"no supervisor {what}; {others}; another user may run one")


def _listed(supervisors: list[RunningSupervisor]) -> str:
    return ", ".join(f"{each.pid} ({each.path or each.name})" for each in supervisors)


def _follow(supervisor: RunningSupervisor, timeout: float, *, quiet: bool) -> dict[str, Any]:
    try:
        for update in supervisor.reload(timeout):
            if "result" in update:
                result: dict[str, Any] = update["result"]
                return result
            if not quiet:
                click.echo(_progress(update), err=True)
    except TimeoutError:
        raise RolehostError(
            f"the reload continues, but there was no progress for {timeout:g} s; the log of the"
            f" supervisor {supervisor.pid} will have the result"
        ) from None
    except OSError as error:
        raise RolehostError(
            f"the supervisor {supervisor.pid} closed the connection: {error}"
        ) from None
    raise RolehostError(f"the supervisor {supervisor.pid} ended before the reload was complete")


def _progress(update: dict[str, Any]) -> str:
    if "accepted" in update:
        return f"{update['accepted']} is valid; replacing {update['of']} processes"
    if "failed" in update:
        return f"{update['failed']}; rolling back to the previous deployment"
    return f"{update['done']}/{update['of']} {update['process']}"


def _print_result(result: dict[str, Any], migrate: str) -> None:
    found = [Problem(**problem) for problem in result.get("problems", ())]
    if found:
        print_problems(found)
        click.echo("\nNothing was changed; the running deployment continues.", err=True)
    elif result["status"]:
        click.echo(f"rolehost: {result['outcome']}: {result['message']}", err=True)
    else:
        click.echo(f"reloaded in {result['seconds']:g} s: {' '.join(result['roles'])}")
        for name, label in LABELS.items():
            if result[name]:
                click.echo(f"{label.format(migrate)} {', '.join(result[name])}")
        if result["message"]:
            click.echo(result["message"], err=True)
