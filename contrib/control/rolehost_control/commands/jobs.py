"""``rolehost jobs``: the durable jobs in the service database."""

from __future__ import annotations

import click
from rolehost.cli import exits
from rolehost.cli.context import Context, as_json, takes_deployment
from rolehost.cli.output import print_record, print_rows, with_times

from rolehost_control.ledger import Refused, for_each, open_ledger, open_services

#: Columns of a table; ``show`` and ``--json`` have all columns.
_LISTED = ("id", "state", "actor", "queue", "partition", "attempt", "run_at", "error")

#: The range of job ids in the database.
_NUMBER = click.IntRange(1, 2**63 - 1)


@click.group()
def jobs() -> None:
    """List, show, retry and cancel jobs."""


@jobs.command("list")
@takes_deployment(argument=False)
@click.option("--state", help="Only jobs in this state.")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--actor", help="Only jobs of this actor.")
@click.option("--partition", help="Only jobs of this partition.")
@click.option("--error", default="", help="Only jobs whose error contains this text.")
@click.option("--arguments", default="", help="Only jobs whose arguments contain this text.")
@click.option("--before", type=_NUMBER, help="Only jobs with a lower id: the next page.")
@click.option("--limit", default=100, show_default=True, help="Maximum number of jobs.")
@as_json
@click.pass_obj
def list_jobs(
    context: Context,
    state: str | None,
    queue: str | None,
    actor: str | None,
    partition: str | None,
    error: str,
    arguments: str,
    before: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first.

    With --error or --arguments, each call searches 2,000 jobs and prints how to continue.
    """
    from rolehost.delivery import administration

    filters = {"state": state, "queue": queue, "actor": actor, "partition": partition}
    more = None
    with open_ledger(context) as database:
        try:
            if error or arguments:
                found, more = administration.search(
                    database,
                    error=error,
                    arguments=arguments,
                    before=before,
                    limit=limit,
                    **filters,
                )
            else:
                found = administration.listing(database, before=before, limit=limit, **filters)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="--state") from None
    rows = [with_times(job) for job in found]
    if not as_json:
        rows = [{name: row[name] for name in _LISTED} for row in rows]
    print_rows(rows, as_json=as_json, empty="no jobs match")
    if more is not None:
        click.echo(f"older jobs were not searched; add --before {more}", err=True)


@jobs.command()
@click.argument("number", type=_NUMBER)
@takes_deployment(argument=False)
@as_json
@click.pass_obj
def show(context: Context, number: int, as_json: bool) -> int:
    """Show all fields of one job, and the history of its attempts."""
    from rolehost.delivery import administration, history

    with open_ledger(context) as database:
        job = administration.show(database, number)
        attempts = history.of_job(database, number)
    if job is None:
        command = context.command("jobs list")
        click.echo(f"job {number} does not exist; {command} lists the jobs", err=True)
        return exits.FAILED
    if as_json:
        print_record(job | {"attempts": [with_times(each) for each in attempts]}, as_json=True)
        return exits.OK
    print_record(job, as_json=False)
    for attempt in attempts:
        click.echo()
        print_record(attempt, as_json=False)
    return exits.OK


@jobs.command()
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def retry(context: Context, numbers: tuple[int, ...]) -> int:
    """Run dead, cancelled, scheduled or retrying jobs now. Attempts count from 1 again."""
    from rolehost.delivery import administration
    from rolehost.delivery.scopes import unit_of_work

    with open_services(context) as services:

        def retried(number: int) -> str:
            why = administration.argument_error(
                services.database, services.delivery.signatures, number
            )
            if why:
                raise Refused(f"job {number} would fail immediately: {why}")
            with unit_of_work(services.delivery) as work:
                wake = administration.retry(work.transaction, number, services.clock.now())
                if wake is None:
                    raise Refused(
                        f"job {number} is not dead, cancelled, scheduled or retrying,"
                        " or another job has its unique text"
                    )
                work.wake(wake)
            return f"job {number} is available"

        return for_each(numbers, retried)


@jobs.command()
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True)
@takes_deployment(argument=False)
@click.pass_obj
def cancel(context: Context, numbers: tuple[int, ...]) -> int:
    """Cancel available, scheduled and retrying jobs, and ask running jobs to stop."""
    from rolehost.delivery import administration
    from rolehost.delivery.scopes import unit_of_work

    with open_services(context) as services:

        def cancelled(number: int) -> str:
            with unit_of_work(services.delivery) as work:
                done = administration.cancel(work.transaction, number, services.clock.now())
                if done is None:
                    raise Refused(f"job {number} does not exist or has finished")
                work.wake(done[1])
            return f"job {number}: {done[0]}"

        return for_each(numbers, cancelled)
