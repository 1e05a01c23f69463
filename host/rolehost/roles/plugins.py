"""Runs the start and stop hooks of plugins, with a time limit; errors name the plugin."""

from __future__ import annotations

from typing import Any

import structlog

from rolehost.api.contributions import Backend
from rolehost.api.hooks import ProcessContext
from rolehost.bounded import TimeLimitExceeded, bounded
from rolehost.composition.model import Degraded, Owned, Plugin
from rolehost.discovery.hooks import implementation
from rolehost.errors import Problem, RolehostError, StartError, StorageUnavailable
from rolehost.messages import problem

log = structlog.get_logger(__name__)


class StartFailed(StartError):
    """A plugin could not be started.

    ``degraded`` replaces the plugin in the composition if the process continues without it.
    """

    def __init__(self, plugin: Plugin, why: Problem) -> None:
        where = f" at {why.where}" if why.where else ""
        super().__init__(f"{why.who}: {why.what}: {why.got}{where}; {why.fix}")
        self.degraded = Degraded(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            why=(why,),
        )


def _start_failed(plugin: Plugin, message: str, where: str, **values: Any) -> StartFailed:
    who = f"plugin {plugin.name} ({plugin.distribution} {plugin.version})"
    return StartFailed(plugin, problem(message, who=who, where=where, name=plugin.name, **values))


def start(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_start``, if it has one.

    StartFailed: the hook raised an error or did not end in time. StorageUnavailable: the hook
    raised it; the process starts again when the backend is back.
    """
    hook = implementation(plugin.module, "rolehost_start")
    if hook is None:
        return
    try:
        bounded(lambda: hook(context), seconds)
    except StorageUnavailable:
        raise
    except TimeLimitExceeded as error:
        raise _start_failed(plugin, "start-hung", error.where, seconds=seconds) from error
    except BaseException as error:
        if not _raised_by_plugin(error):
            raise
        if not isinstance(error, RolehostError):
            log.error("start failed", plugin=plugin.name, exc_info=error)
        kind = type(error).__name__
        raise _start_failed(
            plugin, "start-raised", "", type=kind, error=error, seconds=seconds
        ) from error


def stop(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_stop``, if it has one; a failure is logged."""
    hook = implementation(plugin.module, "rolehost_stop")
    if hook is None:
        return
    bound = log.bind(
        plugin=plugin.name,
        hook="rolehost_stop",
        of=f"{plugin.distribution} {plugin.version}",
    )
    try:
        bounded(lambda: hook(context), seconds)
    except TimeLimitExceeded as error:
        bound.error("hook did not end, continuing", seconds=seconds, where=error.where)
    except BaseException as error:
        if not _raised_by_plugin(error):
            raise
        bound.error("hook failed", exc_info=error)


def backend_error(plugin: Plugin, backend: Owned[Backend], error: Exception) -> StartFailed:
    """Return the error for a backend that cannot be made or fails its ping."""
    return _start_failed(
        plugin,
        "backend-failed",
        backend.location,
        kind=backend.value.kind,
        backend=backend.value.name,
        type=type(error).__name__,
        error=error,
    )


def dependency_error(failed: Plugin, plugin: Plugin, deployment: str) -> StartFailed:
    """Return the error for a plugin that depends on a failed one."""
    return _start_failed(
        plugin,
        "degraded-dependency.start",
        f"depends of plugin {plugin.name}",
        other=failed.name,
        distribution=failed.distribution,
        version=failed.version,
        deployment=deployment,
    )


def _raised_by_plugin(error: BaseException) -> bool:
    """Return False for KeyboardInterrupt and for a simulated crash of the host."""
    own = type(error).__module__.partition(".")[0] == "rolehost"
    return not isinstance(error, KeyboardInterrupt) and (not own or isinstance(error, Exception))
