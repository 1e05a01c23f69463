"""Plugin ``webhooks-api``: the HTTP API and the commands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rolehost.api import (
    PLUGIN_API,
    Authentication,
    Check,
    Command,
    DeclareContext,
    ErrorFormat,
    Migrations,
    PluginInfo,
    ProcessContext,
    Route,
    Services,
    SettingRefused,
    hookimpl,
)

from rolehost_webhooks.plugins.shared import MIGRATIONS
from rolehost_webhooks.settings import ApiSettings

if TYPE_CHECKING:
    from rolehost_graphql import Schema

log = logging.getLogger(__name__)

PROXY = "a proxy in front of the webhooks API authenticates its clients, by the settings"

OPEN = "no token is set: [http] decides who may use the webhooks API"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Webhooks: the HTTP API that Svix's clients speak",
        settings=ApiSettings,
        requires=("database[transactions]", "queue"),
        enqueues=("webhooks.fan_out", "webhooks.deliver", "webhooks.recover"),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the migrations."""
    return [MIGRATIONS]


@hookimpl
def rolehost_routes(context: DeclareContext) -> list[Route | ErrorFormat | Authentication]:
    """Return the API, its authentication, and Svix's format of errors.

    Raises:
        SettingRefused: in production, if neither a token nor a proxy protects the API.
    """
    from rolehost_webhooks.routes.authentication import authentication
    from rolehost_webhooks.routes.errors import ERRORS
    from rolehost_webhooks.routes.table import routes

    settings: ApiSettings = context.settings
    by_token = authentication(settings)
    if by_token is not None:
        return [*routes(), by_token, ERRORS]
    if context.environment == "production":
        _require_proxy(settings)
    by_proxy = settings.authentication == "proxy"
    return [*routes("a proxy authenticates the clients" if by_proxy else ""), ERRORS]


@hookimpl
def rolehost_checks(context: DeclareContext) -> list[Check]:
    """Return a check that reports how the API is protected."""
    settings: ApiSettings = context.settings
    no_token = PROXY if settings.authentication == "proxy" else OPEN
    detail = no_token if settings.required_token is None else "a token is required"

    def token(_services: Services) -> str:
        return detail

    # The check never fails: the operator may choose to set no token, but it must be visible.
    return [Check(name="webhooks-token", fn=token)]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Log a warning if the API has no token."""
    settings: ApiSettings = context.settings
    no_token = settings.required_token is None and settings.authentication == "token"
    if context.role == "http" and no_token:
        log.warning("%s; set token in [webhooks-api]", OPEN)


@hookimpl
def graphql_schema(context: DeclareContext) -> list[Schema]:
    """Return the API's data for GraphQL, if the plugin ``graphql`` is enabled."""
    from rolehost_webhooks.graphql.part import part

    return [part(context.settings)]


@hookimpl
def rolehost_commands() -> list[Command]:
    """Return the command group ``rolehost webhooks``."""
    return [
        Command(
            name="webhooks",
            target="rolehost_webhooks.commands:webhooks",
            summary="Receive and send webhooks from the command line",
        )
    ]


def _require_proxy(settings: ApiSettings) -> None:
    if settings.authentication != "proxy":
        raise SettingRefused(
            "token",
            "no token is set, so in production the webhooks API would be open to all clients",
            expected='a token in [webhooks-api], or authentication = "proxy" there',
            got="no token" if settings.token is None else "an empty token",
            fix='write token = "${ROLEHOST_WEBHOOKS_TOKEN}" in [webhooks-api] and set that'
            " variable; if a proxy that clients cannot bypass authenticates them, set"
            ' authentication = "proxy"',
        )
