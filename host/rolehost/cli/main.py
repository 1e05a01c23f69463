"""``rolehost``: finds a command, runs it, and converts errors to text and an exit status."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import click

import rolehost
from rolehost.cli import exits
from rolehost.cli.context import Context, takes_deployment
from rolehost.cli.lazy import LazyGroup, Targets, import_command
from rolehost.discovery.commands import HOST, TOOL_EXTRAS, install_hint, tool_commands
from rolehost.errors import (
    ConfigurationError,
    RolehostError,
    StartError,
    StorageError,
    StorageRefused,
)


class Commands(LazyGroup):
    """Commands of the host, of installed tools and of the deployment's plugins."""

    def targets(self) -> Targets:
        """Return the commands of the host and of installed tools."""
        found = {name: command for name, command in tool_commands().items() if " " not in name}
        return {**found, **HOST}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; commands of plugins come from the composition."""
        if cmd_name in HOST:
            return import_command(HOST[cmd_name][0])
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        if cmd_name in TOOL_EXTRAS:
            ctx.fail(install_hint(cmd_name))
        try:
            contributed = ctx.ensure_object(Context).composition.commands
        except ConfigurationError:
            if self.hint_for(cmd_name):
                return None  # probably a misspelt command of the host
            raise
        named = (owned.value for owned in contributed if owned.value.name == cmd_name)
        return next((import_command(command.target) for command in named), None)

    def unknown(self, ctx: click.Context, name: str) -> str:
        """Return the error message for an unknown command."""
        hint = self.hint_for(name) or "see rolehost --help"
        path = ctx.ensure_object(Context).path
        where = f"the plugins of {path}" if path else "plugins (no deployment file was found)"
        return f"neither the host nor {where} have a command {name!r}; {hint}"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing them, and the exit statuses."""
        super().format_commands(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Plugins add commands; rolehost commands lists them.")
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), text) for code, text in exits.MEANINGS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rolehost.__version__, prog_name="rolehost")
@takes_deployment(argument=False)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """One host process for any role; the contributions of the enabled plugins decide its roles.

    Most commands use a deployment file: the file that is named, or the file in
    ROLEHOST_DEPLOYMENT, or ./rolehost.toml, or deploy/embedded.toml. Options before the command
    also apply to commands of plugins.
    """
    ctx.ensure_object(Context)


def main() -> None:
    """Run the command line of this process and exit."""
    # PERF: a command makes many objects and little garbage until its deployment is composed.
    gc.disable()
    sys.exit(invoke(sys.argv[1:], owns_process=True))


def invoke(arguments: Sequence[str], *, owns_process: bool = False) -> int:
    """Run the arguments after ``rolehost``; return the exit status."""
    try:
        result = cli.main(
            args=list(arguments),
            prog_name="rolehost",
            standalone_mode=False,
            obj=Context(owns_process=owns_process),
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except ConfigurationError as error:
        from rolehost.cli.output import print_problems

        print_problems(error.problems)
        return exits.CONFIGURATION
    except RolehostError as error:
        click.echo(f"rolehost: {error}", err=True)
        return _status(error)
    return result if type(result) is int else exits.OK


def _status(error: RolehostError) -> int:
    if isinstance(error, StorageRefused):
        return exits.CONFIGURATION
    return exits.CANNOT_START if isinstance(error, StartError | StorageError) else exits.FAILED
