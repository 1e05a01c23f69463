"""Shared options of the commands, and their defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rolehost.api import CommandContext

F = TypeVar("F", bound=Callable[..., Any])

#: Environment variable that holds the API token.
TOKEN_VARIABLE = "ROLEHOST_WEBHOOKS_TOKEN"


def host_options(command: F) -> F:
    """Add ``--url``, ``--token`` and ``--app``."""
    for option in (
        click.option("--app", default="demo", show_default=True, help="Uid of the application."),
        click.option(
            "--token",
            envvar=TOKEN_VARIABLE,
            help=f"The API's token; by default {TOKEN_VARIABLE}, or the deployment's.",
        ),
        click.option(
            "--url", help="URL of the host; by default the bind address of the deployment."
        ),
    ):
        command = option(command)
    return command


def host_url(context: CommandContext, given: str | None) -> str:
    """Return the URL of the API: the given one, or by default this deployment's bind address."""
    if given:
        return given.rstrip("/")
    bind: str = context.composition.deployment.host.http.bind
    if bind.startswith("unix:"):
        raise click.UsageError("the deployment binds a Unix socket; give --url")
    host, _, port = bind.rpartition(":")
    reachable = "127.0.0.1" if host in {"", "0.0.0.0", "[::]"} else host
    return f"http://{reachable}:{port}"


def api_token(context: CommandContext, given: str | None) -> str | None:
    """Return the given token, or by default this deployment's, or None."""
    if given:
        return given
    settings = settings_of(context, "webhooks-api")
    if settings is None or settings.required_token is None:
        return None
    token: str = settings.required_token.reveal()
    return token


def settings_of(context: CommandContext, plugin: str) -> Any:
    """Return the settings of a plugin, or None if this deployment does not enable it."""
    try:
        return context.composition.plugin(plugin).settings
    except LookupError:
        return None
