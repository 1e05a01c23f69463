"""Plugin ``webhooks-ingest``: events of a stream become messages."""

from __future__ import annotations

from rolehost.api import PLUGIN_API, DeclareContext, Handler, Migrations, PluginInfo, hookimpl

from rolehost_webhooks.plugins.shared import MIGRATIONS
from rolehost_webhooks.settings import DEFAULT_TOPIC, IngestSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Say what the plugin is and needs."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Webhooks: events of a stream topic become messages",
        settings=IngestSettings,
        requires=("database[transactions]", "queue", "stream[consumer-groups]"),
        enqueues=("webhooks.fan_out",),
        # For ``rolehost webhooks send --via stream``; a topic of another name is declared by
        # whoever publishes to it.
        publishes=(DEFAULT_TOPIC,),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Give the tables."""
    return [MIGRATIONS]


@hookimpl
def rolehost_handlers(context: DeclareContext) -> list[Handler]:
    """Give the handler of the topic that the settings name."""
    from rolehost_webhooks.handlers.ingest import ingest

    return [ingest(context.settings)]
