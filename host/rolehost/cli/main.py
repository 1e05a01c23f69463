"""``rolehost``: finds the command, runs it, turns what it raised into text and exit status."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

import rolehost
from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.lazy import imported
from rolehost.cli.options import takes_deployment
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StartError,
    StorageError,
    StorageRefused,
)

#: The host's commands: name → (``module:attribute``, one line for the help).
COMMANDS: Mapping[str, tuple[str, str]] = {
    "actors": ("rolehost.cli.actors:actors", "List actors, who enqueues and who works them."),
    "asyncapi": (
        "rolehost.cli.asyncapi:asyncapi",
        "Print the AsyncAPI document of deployments' events.",
    ),
    "check": ("rolehost.cli.check:check", "Check deployments without starting anything."),
    "dead": ("rolehost.cli.dead:dead", "List, show, replay and discard dead letters."),
    "doctor": ("rolehost.cli.doctor:doctor", "Look whether a deployment can run here."),
    "failpoints": (
        "rolehost.cli.failpoints:failpoints",
        "List the points at which tests make a process fail.",
    ),
    "fleet": ("rolehost.cli.fleet:fleet", "Check, draw and watch deployments that run together."),
    "handlers": ("rolehost.cli.handlers:handlers", "List event handlers by topic and group."),
    "jobs": ("rolehost.cli.jobs:jobs", "List, show, retry and cancel jobs."),
    "migrate": ("rolehost.cli.migrate:migrate", "Apply and take back migrations."),
    "new": ("rolehost.cli.new:new", "Begin a plugin, a storage backend or a deployment."),
    "plugins": ("rolehost.cli.plugins:plugins", "List plugins: enabled, disabled, broken."),
    "reload": ("rolehost.cli.reload:reload", "Replace a running deployment by a changed one."),
    "routes": ("rolehost.cli.routes:routes", "List HTTP routes."),
    "run": ("rolehost.cli.run:run", "Run a deployment, all its roles, in the foreground."),
    "schedules": ("rolehost.cli.schedules:schedules", "List schedules."),
    "settings": ("rolehost.cli.settings:settings", "List settings, each with its origin."),
    "why": ("rolehost.cli.why:why", "Say who gives something, or why it is off."),
}


class Commands(click.Group):
    """The host's commands and those that the deployment's plugins contribute, loaded lazily."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names; plugins' commands only where the deployment composes."""
        return sorted({*COMMANDS, *_contributed(ctx, quiet=True)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None when there is none of this name."""
        if cmd_name in COMMANDS:
            return imported(COMMANDS[cmd_name][0])
        near = _near(cmd_name)
        contributed = _contributed(ctx, quiet=bool(near))
        if cmd_name in contributed:
            return imported(contributed[cmd_name][0])
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest."""
        command = self.get_command(ctx, args[0])
        if command is None and not args[0].startswith("-"):
            hint = _near(args[0]) or "see rolehost --help"
            path = ctx.ensure_object(Context).path
            where = f"the plugins of {path}" if path else "a plugin (no deployment was found)"
            ctx.fail(f"{args[0]!r} is a command neither of the host nor of {where}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing them, and what the exit statuses mean."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        contributed = _contributed(ctx, quiet=True)
        if contributed:
            with formatter.section(f"Commands of the plugins of {ctx.obj.path or '--plugins'}"):
                formatter.write_dl(
                    [(name, summary) for name, (_, summary) in sorted(contributed.items())]
                )
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), text) for code, text in exits.MEANINGS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rolehost.__version__, prog_name="rolehost")
@takes_deployment(argument=False)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """One host process, any role: what the enabled plugins contribute decides what it is.

    Most commands are about a deployment file: the one that is named, else the one in
    ROLEHOST_DEPLOYMENT, else ./rolehost.toml, else deploy/embedded.toml. Options before the
    command hold for commands of plugins too.
    """
    ctx.ensure_object(Context)


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(invoke(sys.argv[1:], owns_process=True))


def invoke(arguments: Sequence[str], *, owns_process: bool = False) -> int:
    """Run one command line.

    Args:
        arguments: what follows ``rolehost``.
        owns_process: see :class:`~rolehost.cli.context.Context`.

    Returns:
        The exit status; see :mod:`rolehost.cli`.
    """
    try:
        context = Context(owns_process=owns_process)
        result = cli.main(
            args=list(arguments), prog_name="rolehost", standalone_mode=False, obj=context
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except ConfigurationError as error:
        from rolehost.cli.output import problems

        problems(error.problems)
        return exits.CONFIGURATION
    except StorageRefused as error:
        click.echo(f"rolehost: {error}", err=True)
        return exits.CONFIGURATION
    except (StartError, StorageError) as error:
        click.echo(f"rolehost: {error}", err=True)
        return exits.CANNOT_START
    except RolehostError as error:
        click.echo(f"rolehost: {error}", err=True)
        return exits.FAILED
    return result if type(result) is int else exits.OK


def _contributed(ctx: click.Context, *, quiet: bool) -> dict[str, tuple[str, str]]:
    """Return the plugins' commands; with ``quiet`` none when the deployment has mistakes."""
    context: Any = ctx.ensure_object(Context)
    try:
        commands = context.composition.commands
    except ConfigurationError:
        if quiet:
            return {}
        raise
    return {owned.value.name: (owned.value.target, owned.value.summary) for owned in commands}


def _near(name: str) -> str:
    from rolehost.suggest import did_you_mean

    return did_you_mean(name, COMMANDS)
