"""The commands of the host and of installed tools, by name, without importing them.

A tool is a distribution with an entry point of the group ``rolehost.commands``. The entry point
names a module with a mapping ``COMMANDS``: name → (``module:attribute`` of a click command, one
line for the help). The module must not import the commands. A name of two words is a subcommand of
one of the host's groups, for example ``plugins grade``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from rolehost.discovery.entries import targets
from rolehost.errors import RolehostError

GROUP = "rolehost.commands"

Commands = Mapping[str, tuple[str, str]]

HOST: Commands = {
    "actors": ("rolehost.cli.listings:actors", "List actors and their plugins."),
    "check": ("rolehost.cli.check:check", "Check deployments; start nothing."),
    "commands": ("rolehost.cli.listings:commands", "List the commands that plugins add."),
    "handlers": ("rolehost.cli.listings:handlers", "List event handlers by topic and group."),
    "migrate": ("rolehost.cli.migrate:migrate", "Apply and revert migrations."),
    "plugins": ("rolehost.cli.plugins:plugins", "List installed plugins and their states."),
    "reload": ("rolehost.cli.reload:reload", "Reload a deployment after its file has changed."),
    "routes": ("rolehost.cli.listings:routes", "List HTTP routes."),
    "run": ("rolehost.cli.run:run", "Run all roles of a deployment in the foreground."),
    "settings": ("rolehost.cli.listings:settings", "List settings with their values and origins."),
}

#: Command of a tool of this project → the extra of ``rolehost`` that installs the tool.
TOOL_EXTRAS: Mapping[str, str] = {
    "asyncapi": "fleet",
    "dead": "control",
    "doctor": "fleet",
    "failpoints": "testing",
    "fleet": "fleet",
    "jobs": "control",
    "limits": "control",
    "new": "testing",
    "plugins grade": "testing",
    "schedules": "control",
    "why": "fleet",
}

#: Names that commands of plugins cannot have, even if the tools are not installed.
RESERVED = frozenset({*HOST, *TOOL_EXTRAS})


def install_hint(name: str) -> str:
    """Return the error for a command of ``TOOL_EXTRAS`` whose tool is not installed."""
    return (
        f"{name!r} is a command of a distribution that is not installed; "
        f"pip install 'rolehost[{TOOL_EXTRAS[name]}]'"
    )


def tool_commands() -> dict[str, tuple[str, str]]:
    """Return the tools' commands, sorted; raise RolehostError if a tool cannot be loaded."""
    found: dict[str, tuple[str, str]] = {}
    for name, module in targets(GROUP).items():
        try:
            commands: Commands = importlib.import_module(module).COMMANDS
        except Exception as error:  # a module may raise anything when it is imported
            raise RolehostError(f"the tool {name} ({module}) cannot be loaded: {error}") from error
        found.update(commands)
    return dict(sorted(found.items()))
