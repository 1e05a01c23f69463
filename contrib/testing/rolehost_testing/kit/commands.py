"""Run commands that plugins contribute, in this process."""

from __future__ import annotations

import importlib
import shlex
from typing import TYPE_CHECKING, Any

from rolehost.api import Services
from rolehost.composition import Composition
from rolehost.suggest import did_you_mean

if TYPE_CHECKING:
    from click.testing import Result


class Context:
    """The ``ctx.obj`` of a command; implements :class:`rolehost.api.CommandContext`."""

    def __init__(self, composition: Composition, services: Services) -> None:
        self.composition = composition
        self._services = services

    def services(self) -> Services:
        """Return the services of the host's ``command`` process."""
        return self._services


def invoke(composition: Composition, services: Services, line: str | list[str]) -> Result:
    """Run one command line of a contributed command; exceptions of the command propagate.

    Raises:
        LookupError: no enabled plugin contributes the command.
    """
    import click
    from click.testing import CliRunner

    name, *arguments = shlex.split(line) if isinstance(line, str) else line
    commands = {owned.value.name: owned.value for owned in composition.commands}
    if name not in commands:
        hint = did_you_mean(name, commands) or f"there are {', '.join(sorted(commands)) or 'none'}"
        raise LookupError(f"no enabled plugin contributes a command {name!r}; {hint}")
    module, _, attribute = commands[name].target.partition(":")
    command: Any = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return CliRunner().invoke(
        command, arguments, obj=Context(composition, services), catch_exceptions=False
    )
