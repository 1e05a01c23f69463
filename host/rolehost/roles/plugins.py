"""Runs the start and stop hooks of plugins: each has a time limit, its errors name the plugin."""

from __future__ import annotations

import structlog

from rolehost.api.contributions import Backend
from rolehost.api.hooks import ProcessContext
from rolehost.composition.model import Degraded, Owned, Plugin
from rolehost.discovery.bounded import Overdue, bounded
from rolehost.discovery.hooks import implementation
from rolehost.errors import Problem, RolehostError, StartError, StorageUnavailable

log = structlog.get_logger(__name__)


class StartFailed(StartError):
    """A plugin could not be started.

    Attributes:
        degraded: what a composition keeps of the plugin if the process goes on without it.
    """

    def __init__(self, plugin: Plugin, code: str, **words: str) -> None:
        who = f"plugin {plugin.name} ({plugin.distribution} {plugin.version})"
        problem = Problem(code=code, who=who, **words)
        where = f" at {problem.where}" if problem.where else ""
        super().__init__(f"{who}: {problem.what}: {problem.got}{where}; {problem.fix}")
        self.degraded = Degraded(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            why=(problem,),
        )


def start(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_start``, if it has one.

    Raises:
        StartFailed: it raised, or did not end within so many seconds.
        StorageUnavailable: the hook raised it: a backend is away, the start is tried again.
    """
    hook = implementation(plugin.module, "rolehost_start")
    if hook is None:
        return
    words = {
        "where": "",
        "expected": f"a start within {seconds:g} seconds, [limits] start",
        "fix": f"mend it, or take {plugin.name} out of plugins",
    }
    try:
        bounded(lambda: hook(context), seconds)
    except StorageUnavailable:
        raise
    except Overdue as error:
        words |= {"where": error.where, "what": "rolehost_start did not end"}
        words["got"] = f"interrupted after {seconds:g} seconds, [limits] start"
        raise StartFailed(plugin, "start-hung", **words) from error
    except BaseException as error:
        if not _of_plugin(error):
            raise
        if not isinstance(error, RolehostError):
            log.error("start failed", plugin=plugin.name, exc_info=error)
        words |= {"what": f"rolehost_start raised {type(error).__name__}", "got": str(error)}
        raise StartFailed(plugin, "start-raised", **words) from error


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
    except Overdue as error:
        bound.error("hook did not end, going on", seconds=seconds, where=error.where)
    except BaseException as error:
        if not _of_plugin(error):
            raise
        bound.error("hook failed", exc_info=error)


def backend_failed(plugin: Plugin, backend: Owned[Backend], error: Exception) -> StartFailed:
    """Return the error of a backend that cannot be made, or fails when it is pinged."""
    kind, name = backend.value.kind, backend.value.name
    return StartFailed(
        plugin,
        "backend-failed",
        where=backend.location,
        what=f"its {kind} backend {name} raised {type(error).__name__}",
        expected="a backend, or StorageUnavailable while it is away",
        got=str(error),
        fix=f"mend it, or choose another backend in [storage] {kind}",
    )


def dependency_failed(failed: Plugin, plugin: Plugin, deployment: str) -> StartFailed:
    """Return the error of a plugin that depends on one that failed."""
    return StartFailed(
        plugin,
        "degraded-dependency",
        where=f"depends of plugin {plugin.name}",
        what=f"the plugin {plugin.name} depends on {failed.name}, which has failed",
        expected=f"{failed.name} to work in {deployment}",
        got="its start failed",
        fix=f"mend {failed.name} ({failed.distribution} {failed.version})",
    )


def _of_plugin(error: BaseException) -> bool:
    """Return False for an interrupt from the keyboard and for a simulated crash."""
    own = type(error).__module__.partition(".")[0] == "rolehost"
    return not isinstance(error, KeyboardInterrupt) and (not own or isinstance(error, Exception))
