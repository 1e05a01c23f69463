"""The hooks of the plugin ``graphql``."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api import (
    PLUGIN_API,
    Authentication,
    Command,
    DeclareContext,
    ErrorFormat,
    ExtensionPoint,
    PluginInfo,
    ProcessContext,
    Route,
    hookimpl,
)

from rolehost_graphql.declarations import Schema
from rolehost_graphql.metrics import METRICS
from rolehost_graphql.settings import GraphqlSettings

HOOK = "graphql_schema"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe ``graphql`` and the hook that it adds."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="A GraphQL API collected from the enabled plugins",
        settings=GraphqlSettings,
        extension_points=(
            ExtensionPoint(
                hook=HOOK, returns=Schema, summary="A part of the GraphQL schema", role="http"
            ),
        ),
        metrics=METRICS,
    )


@hookimpl
def rolehost_routes(context: DeclareContext) -> Sequence[Route | ErrorFormat | Authentication]:
    """Return the routes of the merged API; report conflicts between the plugins' parts."""
    from rolehost_graphql.assets import Assets
    from rolehost_graphql.execution import Executor
    from rolehost_graphql.merging import merge
    from rolehost_graphql.resources import (
        AssetResource,
        GraphqlResource,
        PageResource,
        authentication_of,
        error_format,
    )

    settings: GraphqlSettings = context.settings
    open_by_default = context.environment != "production"
    introspection = open_by_default if settings.introspection is None else settings.introspection
    shows_page = open_by_default if settings.graphiql is None else settings.graphiql
    # This is None if the hook could not be collected. The routes are declared anyway, so that they
    # are listed and checked for conflicts, but they are not served.
    parts = context.extensions.get(HOOK)
    executor = None
    if parts is not None:
        translations = [part.value.translate for part in parts if part.value.translate is not None]
        executor = Executor(merge(parts), settings, translations, introspection=introspection)
    assets = Assets(settings.path) if shows_page else None
    resource = GraphqlResource(executor, settings, assets)
    # Idempotency keys need a database, which a read-only deployment may not have.
    changes = any(part.value.mutation is not None for part in parts or ())
    routes: list[Route | ErrorFormat | Authentication] = [
        Route(settings.path, resource, idempotent=changes, max_body=settings.max_body),
        error_format(settings.path),
    ]
    authentication = authentication_of(part.value for part in parts or ())
    if authentication is not None:
        routes.append(authentication)
    if assets is not None:
        no_data = "the page holds no data, and a browser sends no token with it"
        routes += [
            Route(f"{settings.path}/graphiql", PageResource(assets), open=no_data),
            Route(f"{assets.path}/{{version}}/{{name}}", AssetResource(assets), open=no_data),
        ]
    return routes


@hookimpl
def rolehost_commands() -> Sequence[Command]:
    """Return the command ``rolehost graphql``."""
    return (
        Command(
            name="graphql",
            target="rolehost_graphql.command:graphql",
            summary="Print the GraphQL schema",
        ),
    )


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Register the event loops for operations."""
    if context.role == "http":
        from rolehost_graphql.loops import Loops

        context.services.register(Loops, lambda _services: Loops(), close=Loops.close)
