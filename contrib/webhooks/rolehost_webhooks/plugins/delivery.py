"""Plugin ``webhooks-delivery``: fan-out, signing, sending, retries, retention."""

from __future__ import annotations

from rolehost.api import (
    PLUGIN_API,
    Actor,
    Check,
    DeclareContext,
    Migrations,
    PluginInfo,
    ProcessContext,
    Schedule,
    Services,
    hookimpl,
)

from rolehost_webhooks.metrics import BREAKER
from rolehost_webhooks.plugins.shared import MIGRATIONS
from rolehost_webhooks.settings import DeliverySettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Webhooks: signed delivery with retries, and retention",
        settings=DeliverySettings,
        requires=("database[transactions]", "queue"),
        enqueues=("webhooks.deliver", "webhooks.recover"),
        metrics=(BREAKER,),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the migrations."""
    return [MIGRATIONS]


@hookimpl
def rolehost_topics(context: DeclareContext) -> list[str]:
    """Return the topic of outcome events, if it is set."""
    topic = context.settings.outcomes
    return [] if topic is None else [topic]


@hookimpl
def rolehost_actors(context: DeclareContext) -> list[Actor]:
    """Return the actors; the settings define the retry schedule of deliveries."""
    from rolehost_webhooks.actors.deliver import configure
    from rolehost_webhooks.actors.fan_out import fan_out
    from rolehost_webhooks.actors.recover import recover
    from rolehost_webhooks.actors.retention import retention

    return [fan_out, configure(context.settings), recover, retention]


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    """Schedule retention once a day, at night."""
    return [Schedule(name="webhooks.retention", actor="webhooks.retention", cron="17 3 * * *")]


@hookimpl
def rolehost_checks(context: DeclareContext) -> list[Check]:
    """Return a check that fails if deliveries are late."""
    settings: DeliverySettings = context.settings

    def backlog(services: Services) -> str:
        from rolehost_webhooks.repositories import deliveries

        with services.database.session():
            due = deliveries.oldest_due()
        late = 0.0 if due is None else max(0, services.clock.now() - due) / 1000
        if late > settings.overdue:
            raise RuntimeError(f"the oldest delivery is {late:.0f} s late")
        return f"the oldest delivery is {late:.0f} s late"

    return [Check(name="webhooks-backlog", fn=backlog, ready=False)]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Register the HTTP client that all deliveries of a worker share."""
    if context.role != "worker":
        return
    from rolehost_webhooks.delivery.sender import Sender

    settings: DeliverySettings = context.settings
    context.services.register(Sender, lambda _services: Sender(settings))
