"""``rolehost run``: check, apply migrations, then become the supervisor of the roles."""

from __future__ import annotations

import time
from contextlib import closing

import click

from rolehost.cli import exits
from rolehost.cli.context import Context, takes_deployment
from rolehost.cli.output import print_problems
from rolehost.composition import Composition
from rolehost.errors import StorageRefused, StorageUnavailable
from rolehost.suggest import one_of
from rolehost.supervisor.descriptors import anonymous_file, listening_socket
from rolehost.supervisor.forking import fork_first_processes
from rolehost.supervisor.plan import MIGRATE, ProcessPlan, become_supervisor


@click.command()
@takes_deployment()
@click.option("--role", "only", multiple=True, help="Run only this role; can be repeated.")
@click.pass_obj
def run(context: Context, only: tuple[str, ...]) -> int:
    """Run all roles of a deployment in the foreground.

    The deployment is checked first, and pending migrations are applied. With deployment.migrate =
    "check", the default in production, pending migrations of the phase pre are an error. After TERM
    or Ctrl-C, running work ends and the deployment stops; a second signal stops it at once.
    """
    started_at = time.monotonic()
    composition = context.composition
    for role in only:
        if role not in composition.roles:
            raise click.BadParameter(
                f"the deployment has no role {role}; its roles: {one_of(composition.roles)}",
                param_hint="--role",
            )
    if composition.warnings:
        print_problems(composition.warnings)
    if only or composition.roles_run:
        arguments = _deployment_arguments(context)
        if not _migrate(composition):
            arguments.append(MIGRATE)
        plan = ProcessPlan.of(composition, arguments, only=only, started_at=started_at)
        sources = anonymous_file()
        context.sources.write(sources)
        plan = plan._replace(
            listener=listening_socket(plan.bind), sources=sources, board=anonymous_file()
        )
        become_supervisor(fork_first_processes(composition, plan))
    return _explain_nothing_to_run(context, composition)


def _explain_nothing_to_run(context: Context, composition: Composition) -> int:
    name = context.path or "no deployment file"
    enabled = [plugin.name for plugin in composition.plugins]
    click.echo(f"rolehost: nothing to run ({name}).", err=True)
    if composition.roles:
        click.echo(
            f"Its plugins need the roles {', '.join(composition.roles)}, but [fleet] roles"
            " does not list them. Add a role there, or use --role.",
            err=True,
        )
    elif enabled:
        click.echo(
            f"The enabled plugins ({', '.join(enabled)}) contribute no route, actor, handler or"
            f" schedule. Enable one that does; {context.command('plugins')} lists the installed"
            " plugins.",
            err=True,
        )
    else:
        click.echo(
            "No plugin is enabled. Install plugins, pip install 'rolehost[standard]', and enable"
            ' them: plugins = ["embedded", "ops"] in rolehost.toml, or --plugins embedded,ops.',
            err=True,
        )
    return exits.NOTHING_TO_RUN


def _deployment_arguments(context: Context) -> list[str]:
    arguments = []
    if context.path is not None:
        arguments += ["--deployment", str(context.path)]
    if context.plugins is not None:
        arguments += ["--plugins", ",".join(context.plugins)]
    return arguments


def _migrate(composition: Composition) -> bool:
    """Apply migrations; return False if the database cannot be reached.

    In that case the processes answer liveness probes while they wait for the database, and one of
    the processes migrates.
    """
    backend = composition.backends.get("database")
    if backend is None:
        return True
    from rolehost.roles.migrating import migrate_at_start

    try:
        with closing(backend.value.factory()) as database:
            for migration in migrate_at_start(composition, database):
                click.echo(f"migrated {migration.location}", err=True)
    except StorageRefused:
        raise
    except StorageUnavailable:
        return False
    return True
