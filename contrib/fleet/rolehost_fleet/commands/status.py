"""``rolehost fleet status``: print the processes, backlogs and problems of a running fleet."""

from __future__ import annotations

import gc
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json
from rolehost.cli.output import print_json, print_rows, rfc3339
from rolehost.errors import StartError

from rolehost_fleet.commands.sources import connected, manifests_of, named_fleet, takes_fleet

if TYPE_CHECKING:
    from rolehost_fleet.findings import Findings
    from rolehost_fleet.status import FleetStatus


@click.command()
@click.argument("deployments", nargs=-1, type=click.Path(path_type=Path), metavar="[DEPLOYMENT]...")
@click.option("--watch", is_flag=True, help="Repeat until interrupted.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds."
)
@takes_fleet
@as_json
@click.pass_obj
def status(
    context: Context,
    deployments: tuple[Path, ...],
    watch: bool,
    every: float,
    fleet: str | None,
    as_json: bool,
) -> int:
    """Print the running processes, the waiting work, and work that no running process takes.

    DEPLOYMENTs are files, folders or quoted patterns. Their database has the status of the whole
    fleet. It is an error if a named deployment does not run, or differs from its file.

    The exit status is 0 if there are no errors (there may be warnings), 1 if there are errors, 4 if
    the database cannot be reached.
    """
    given = deployments or ((context.path,) if context.path else ())
    if not given:
        raise StartError("name a deployment file of the fleet")
    members = named_fleet(given, fleet)
    expected = manifests_of(members)
    from rolehost_fleet.diagnosis import diagnose

    gc.enable()  # --watch may run for days, and commands start without garbage collection
    with connected(members) as shared:
        while True:
            status = shared.look(expected)
            findings = diagnose(status, expected)
            if watch and not as_json:
                click.clear()
            if as_json:
                print_json(as_dict(members.name, status, findings))
            else:
                _print(members.name, status, findings)
            if not watch:
                return exits.FAILED if findings.errors else exits.OK
            time.sleep(every)


def as_dict(name: str, status: FleetStatus, findings: Findings) -> dict[str, Any]:
    """Return the status as plain data for ``--json``; times are milliseconds since the epoch."""
    return {
        "fleet": name,
        "ok": not findings.errors,
        "at": status.now,
        "processes": [
            {
                "deployment": each.deployment,
                "role": each.role,
                "slot": each.slot,
                "incarnation": each.incarnation,
                "state": each.state,
                "host": each.host,
                "pid": each.pid,
                "version": each.version,
                "python": each.python,
                "manifest": manifest.shared_hash if manifest else None,
                "config": manifest.config if manifest else None,
                "plugins": {plugin.name: plugin.version for plugin in manifest.plugins}
                if manifest
                else None,
                "in_flight": each.in_flight,
                "since": each.since,
                "renewed": each.renewed,
            }
            for each in status.processes
            for manifest in (status.manifest(each),)
        ],
        "queues": [each._asdict() for each in status.jobs],
        "groups": [each._asdict() for each in status.unread],
        "outbox": [each._asdict() for each in status.outbox],
        "messages": status.messages,
        "leader": status.leader,
        "errors": [problem.as_dict() for problem in findings.errors],
        "warnings": [problem.as_dict() for problem in findings.warnings],
    }


def _print(name: str, status: FleetStatus, findings: Findings) -> None:
    from rolehost_fleet.status import count

    processes = len(status.processes)
    deployments = count(len({process.deployment for process in status.processes}), "deployment")
    click.echo(
        f"{name}: {processes} process{'' if processes == 1 else 'es'} of {deployments},"
        f" {rfc3339(status.now)}"
    )
    print_rows(_processes(status), as_json=False, empty="no process is running")
    running = _running(status)
    if running:
        print_rows(running, as_json=False, empty="")
    print_rows(_waiting(status), as_json=False, empty="nothing is waiting")
    click.echo(f"leading scheduler: {status.leader or 'none'}")
    for problem in findings.errors:
        click.echo(f"\n{problem}")
    for problem in findings.warnings:
        click.echo(f"\nwarning: {problem}")
    found = (("error", findings.errors), ("warning", findings.warnings))
    counts = [count(len(problems), noun) for noun, problems in found if problems]
    click.echo(f"\n{', '.join(counts) or 'ok'}")


def _processes(status: FleetStatus) -> list[dict[str, Any]]:
    return [
        {
            "deployment": each.deployment,
            "process": f"{each.role}.{each.slot}",
            "state": each.state,
            "in_flight": each.in_flight,
            "host": each.host,
            "pid": each.pid,
            "starts": each.incarnation,
            "up": _ago(status.now - each.since),
            "rolehost": each.version,
            "runs": manifest.shared_hash if manifest else None,
        }
        for each in status.processes
        for manifest in (status.manifest(each),)
    ]


def _running(status: FleetStatus) -> list[dict[str, Any]]:
    rows = []
    seen = set()
    for each in status.processes:
        manifest = status.manifest(each)
        if manifest is None or (each.deployment, manifest.shared_hash) in seen:
            continue
        seen.add((each.deployment, manifest.shared_hash))
        rows.append(
            {
                "deployment": each.deployment,
                "runs": manifest.shared_hash,
                "settings": manifest.config,
                "plugins": [f"{plugin.name} {plugin.version}" for plugin in manifest.plugins],
            }
        )
    return rows


def _waiting(status: FleetStatus) -> list[dict[str, Any]]:
    jobs = [
        _row(
            f"jobs of {each.actor}",
            f"queue {each.queue}",
            waiting=each.waiting,
            held=each.held,
            dead=each.dead,
            oldest=None if each.oldest is None else _ago(status.now - each.oldest),
        )
        for each in status.jobs
    ]
    unread = [
        _row(f"events of {each.topic}", f"group {each.group}", waiting=each.records, dead=each.dead)
        for each in status.unread
        if each.records or each.dead
    ]
    parked = [
        _row(f"parked events of {each.topic}", f"group {each.group}", waiting=each.parked)
        for each in status.unread
        if each.parked
    ]
    outbox = [
        _row(
            f"events of {each.topic}",
            "outbox",
            waiting=each.events,
            oldest=_ago(status.now - each.oldest),
        )
        for each in status.outbox
    ]
    messages = [
        _row("ephemeral messages", f"queue {queue}", waiting=count)
        for queue, count in status.messages.items()
    ]
    if status.dead_messages:
        messages.append(_row("ephemeral messages", "every queue", dead=status.dead_messages))
    return [*jobs, *unread, *parked, *outbox, *messages]


def _row(
    what: str,
    where: str,
    *,
    waiting: int | None = None,
    held: int | None = None,
    dead: int | None = None,
    oldest: str | None = None,
) -> dict[str, Any]:
    return {
        "what": what,
        "where": where,
        "waiting": waiting,
        "held": held,
        "dead": dead,
        "oldest": oldest,
    }


def _ago(milliseconds: int) -> str:
    """Return a duration for people: ``3.2 s``, ``1:02:03``."""
    seconds = max(0, milliseconds) / 1000
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=int(seconds)))
