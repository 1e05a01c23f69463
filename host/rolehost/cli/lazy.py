"""Commands that are imported when they are called, and groups of such."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from rolehost.errors import RolehostError


def imported(target: str) -> click.Command:
    """Import the click command that ``module:attribute`` names.

    Raises:
        RolehostError: there is none.
    """
    module, _, attribute = target.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may raise anything when it is imported
        raise RolehostError(f"the command {target} cannot be loaded: {error}") from error
    if not isinstance(command, click.Command):
        raise RolehostError(f"the command {target} is no click command")
    return command


class LazyGroup(click.Group):
    """A group whose commands are known by name and one line each, and imported when called.

    Args:
        targets: name → (``module:attribute``, one line for the help).
    """

    def __init__(self, *args: Any, targets: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self.targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return all names."""
        return sorted(self.targets)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command; None when there is none of this name."""
        found = self.targets.get(cmd_name)
        return imported(found[0]) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest."""
        if args[0] not in self.targets and not args[0].startswith("-"):
            from rolehost.suggest import did_you_mean

            hint = did_you_mean(args[0], self.targets) or f"see {ctx.command_path} --help"
            ctx.fail(f"{args[0]!r} is no command of {ctx.command_path}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.targets.items()])
