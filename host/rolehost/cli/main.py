"""``rolehost``: finds the command, runs it, turns what it raised into text and exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

import rolehost
from rolehost.cli import exits
from rolehost.cli.context import Context
from rolehost.cli.lazy import imported
from rolehost.cli.options import takes_deployment
from rolehost.discovery.commands import HOST, OFFERED, tools
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StartError,
    StorageError,
    StorageRefused,
)


class Commands(click.Group):
    """Commands of the host, of installed tools and of the deployment's plugins, loaded lazily."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names; plugins' commands only where the deployment composes."""
        return sorted({*_own(), *_contributed(ctx, quiet=True)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None when there is none of this name."""
        if cmd_name in HOST:
            return imported(HOST[cmd_name][0])
        own = _own()
        if cmd_name in own:
            return imported(own[cmd_name][0])
        if cmd_name in OFFERED:
            ctx.fail(
                f"{cmd_name!r} is a command of a tool that is not installed; "
                f"pip install 'rolehost[{OFFERED[cmd_name]}]'"
            )
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
            formatter.write_dl([(name, summary) for name, (_, summary) in _own().items()])
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


def _own() -> dict[str, tuple[str, str]]:
    """Return the commands of the host and of installed tools."""
    found = {name: command for name, command in tools().items() if " " not in name}
    return dict(sorted({**found, **HOST}.items()))


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

    return did_you_mean(name, _own())
