"""Groups of commands that are imported when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from rolehost.errors import RolehostError

#: Name → (``module:attribute`` of a click command, one line for the help).
Targets = Mapping[str, tuple[str, str]]


def import_command(target: str) -> click.Command:
    """Import the click command at ``module:attribute``, or raise RolehostError."""
    module, _, attribute = target.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing a module may raise any error
        raise RolehostError(f"the command {target} cannot be loaded: {error}") from error
    if not isinstance(command, click.Command):
        raise RolehostError(f"{target} is not a click command")
    return command


class LazyGroup(click.Group):
    """A group that imports a command when it is called; ``--help`` imports none."""

    def __init__(self, *args: Any, targets: Targets | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._targets = targets or {}

    def targets(self) -> Targets:
        """Return the commands."""
        return self._targets

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return all names."""
        return sorted(self.targets())

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        found = self.targets().get(cmd_name)
        return import_command(found[0]) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a similar command in the error for an unknown name."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(self.unknown(ctx, args[0]))
        return super().resolve_command(ctx, args)

    def hint_for(self, name: str) -> str:
        """Return a hint, or empty text."""
        from rolehost.suggest import did_you_mean

        return did_you_mean(name, self.targets())

    def unknown(self, ctx: click.Context, name: str) -> str:
        """Return the error message for an unknown command."""
        hint = self.hint_for(name) or f"see {ctx.command_path} --help"
        return f"{ctx.command_path} has no command {name!r}; {hint}"

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(self.targets().items())])
