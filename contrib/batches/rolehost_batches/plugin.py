"""Plugin ``batches``: batches and chains, results and progress of jobs."""

from __future__ import annotations

from rolehost.api import (
    PLUGIN_API,
    Actor,
    Command,
    DeclareContext,
    JobMiddleware,
    Migrations,
    PluginInfo,
    ProcessContext,
    Schedule,
    hookimpl,
)

from rolehost_batches.settings import BatchSettings


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    return PluginInfo(
        api=PLUGIN_API,
        summary="Batches and chains of jobs, their results and progress",
        settings=BatchSettings,
        requires=("database[transactions]",),
        enqueues=("batches.advance", "batches.sweep"),
    )


@hookimpl
def rolehost_migrations() -> list[Migrations]:
    """Return the tables."""
    from rolehost_batches.models import MODELS

    return [Migrations(package="rolehost_batches.migrations", models=MODELS)]


@hookimpl
def rolehost_actors() -> list[Actor]:
    """Return the actors that move batches on."""
    from rolehost_batches.advancing import look, sweep

    return [look, sweep]


@hookimpl
def rolehost_schedules(context: DeclareContext) -> list[Schedule]:
    """Schedule the sweep."""
    every: float = context.settings.sweep
    return [Schedule(name="batches.sweep", actor="batches.sweep", every=every, overlap="skip")]


@hookimpl
def rolehost_job_middleware() -> list[JobMiddleware]:
    """Note the completion of jobs of batches, in their transactions."""
    from rolehost_batches.advancing import note_completion

    return [JobMiddleware(name="batches", before_completion=note_completion)]


@hookimpl
def rolehost_commands() -> list[Command]:
    """Return the group of commands."""
    target = "rolehost_batches.commands:batches"
    return [Command(name="batches", target=target, summary="List, show and cancel batches.")]


@hookimpl
def rolehost_start(context: ProcessContext) -> None:
    """Register the writer of progress."""
    from rolehost_batches.progress import Reports

    context.services.register(Reports, Reports, close=Reports.close)
