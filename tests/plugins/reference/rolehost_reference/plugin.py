"""Every hook once, in the order of the lifecycle."""

from __future__ import annotations

from rolehost.api import (
    PLUGIN_API,
    Actor,
    Backend,
    Check,
    Command,
    DeclareContext,
    ErrorFormat,
    Handler,
    JobMiddleware,
    Middleware,
    Migrations,
    PluginInfo,
    ProcessContext,
    Route,
    Schedule,
    Services,
    hookimpl,
)

from rolehost_reference.cache import ForgetfulCache
from rolehost_reference.journal import note
from rolehost_reference.settings import ReferenceSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin and its requirements."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Every hook once",
        settings=ReferenceSettings,
        requires=("database[transactions]", "cache"),
        after=("embedded",),
        enqueues=("reference.count",),
    )


@hookimpl
def rolehost_backends() -> list[Backend]:
    """Offer a cache."""
    return [
        Backend(
            kind="cache",
            name="forgetful",
            factory=ForgetfulCache,
            capabilities=ForgetfulCache.capabilities,
        )
    ]


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the table and its model."""
    from rolehost_reference.models import StoredGreeting

    return [Migrations(package="rolehost_reference.migrations", models=(StoredGreeting,))]


@hookimpl
def rolehost_topics() -> list[str]:
    """Name the topic."""
    from rolehost_reference.work import TOPIC

    return [TOPIC]


@hookimpl
def rolehost_routes() -> list[Route | ErrorFormat]:
    """Return two routes of one resource, and an error format."""
    from rolehost_reference.routes import Greetings, render

    greetings = Greetings()
    return [
        Route("/reference/greetings", greetings, idempotent=True),
        Route("/reference/greetings/{greeting}", greetings, suffix="one"),
        ErrorFormat("/reference", render),
    ]


@hookimpl
def rolehost_middleware(context: DeclareContext) -> list[Middleware]:
    """Sign every response."""
    from rolehost_reference.routes import Signature

    return [Middleware("reference-signature", Signature(context.settings.signature))]


@hookimpl
def rolehost_actors() -> list[Actor]:
    """Return the jobs."""
    from rolehost_reference.work import count, tidy

    return [count, tidy]


@hookimpl
def rolehost_handlers() -> list[Handler]:
    """Return the handler."""
    from rolehost_reference.work import mark

    return [mark]


@hookimpl
def rolehost_job_middleware() -> list[JobMiddleware]:
    """Note each failed attempt."""
    from rolehost_reference.work import noted

    return [JobMiddleware(name="reference-failures", around=noted)]


@hookimpl
def rolehost_schedules() -> list[Schedule]:
    """Tidy every hour."""
    return [Schedule(name="reference.hourly", actor="reference.tidy", cron="0 * * * *")]


@hookimpl
def rolehost_checks() -> list[Check]:
    """Return the text of a passing check."""

    def well(services: Services) -> str:
        return f"well in {services.deployment}"

    return [Check(name="reference", fn=well)]


@hookimpl
def rolehost_commands() -> list[Command]:
    """Return ``rolehost reference``."""
    return [
        Command(
            name="reference",
            target="rolehost_reference.command:reference",
            summary="Count stored greetings",
        )
    ]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Note the start."""
    note(context, "start")


@hookimpl
def rolehost_stop(context: ProcessContext) -> None:
    """Note the end."""
    note(context, "stop")
