"""The hooks of the plugin ``openapi``."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import PLUGIN_API, Command, DeclareContext, PluginInfo, Route, hookimpl

from rolehost_openapi.settings import OpenapiSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe ``openapi``; it has no requirements."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="OpenAPI 3.1 document of all routes, and an offline page",
        settings=OpenapiSettings,
    )


@hookimpl
def rolehost_routes(context: DeclareContext) -> Sequence[Route]:
    """Return the routes of the document and, if enabled, of the page and its files."""
    from rolehost_openapi.assets import Assets
    from rolehost_openapi.resources import AssetResource, DocumentResource, PageResource

    settings: OpenapiSettings = context.settings
    prefix = settings.prefix
    why = "[openapi] open = true" if settings.open else ""
    routes = [Route(f"{prefix}/openapi.json", DocumentResource(settings), open=why)]
    if settings.page:
        assets = Assets()
        routes += [
            Route(f"{prefix}/docs", PageResource(assets), open=why),
            Route(f"{prefix}/docs/assets/{{version}}/{{name}}", AssetResource(assets), open=why),
        ]
    return routes


@hookimpl
def rolehost_commands() -> Sequence[Command]:
    """Return the command ``rolehost openapi``."""
    return (
        Command(
            name="openapi",
            target="rolehost_openapi.command:openapi",
            summary="Print the OpenAPI document",
        ),
    )
