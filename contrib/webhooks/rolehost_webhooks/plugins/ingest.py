"""Plugin ``webhooks-ingest``: events of a stream become messages."""

from __future__ import annotations

from rolehost.api import PLUGIN_API, DeclareContext, Handler, Migrations, PluginInfo, hookimpl

from rolehost_webhooks.plugins.shared import MIGRATIONS
from rolehost_webhooks.settings import IngestSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Webhooks: events of a stream topic become messages",
        settings=IngestSettings,
        requires=("database[transactions]", "queue", "stream[consumer-groups]"),
        enqueues=("webhooks.fan_out",),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the migrations."""
    return [MIGRATIONS]


@hookimpl
def rolehost_topics(context: DeclareContext) -> list[str]:
    """Return the topic to read; ``rolehost webhooks send --via stream`` publishes to it."""
    return [context.settings.topic]


@hookimpl
def rolehost_handlers(context: DeclareContext) -> list[Handler]:
    """Return the handler of the topic from the settings."""
    from rolehost_webhooks.handlers.ingest import ingest

    return [ingest(context.settings)]
