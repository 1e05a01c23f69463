"""Calling the hooks of a process: each bounded in time, each failure told with its plugin."""

from __future__ import annotations

import structlog

from rolehost.api.contributions import Backend
from rolehost.api.hooks import ProcessContext
from rolehost.composition.model import Degraded, Owned, Plugin
from rolehost.discovery.hooks import implementation
from rolehost.discovery.watching import Overdue, bounded
from rolehost.errors import Problem, RolehostError, StartError, StorageUnavailable

log = structlog.get_logger(__name__)


class StartFailed(StartError):
    """The start hook of one plugin failed.

    Attributes:
        problem: what is wrong, and with which plugin.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        who, where = problem.who, f" at {problem.where}" if problem.where else ""
        super().__init__(f"{who}: {problem.what}: {problem.got}{where}; {problem.fix}")


def start(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_start``, where it has one.

    Raises:
        StartFailed: it raised, or did not end within so many seconds.
        StorageUnavailable: as the hook raised it: a backend is away, the start is tried again.
    """
    hook = implementation(plugin.module, "rolehost_start")
    if hook is None:
        return
    try:
        bounded(lambda: hook(context), seconds)
    except StorageUnavailable:
        raise
    except BaseException as error:
        if _passes(error):
            raise
        if not isinstance(error, RolehostError | Overdue):
            log.error("start failed", plugin=plugin.name, exc_info=error)
        raise StartFailed(_problem(plugin, error, seconds)) from error


def call(plugin: Plugin, hook: str, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_stop``; what goes wrong is logged."""
    function = implementation(plugin.module, hook)
    if function is None:
        return
    words = {"plugin": plugin.name, "hook": hook, "of": f"{plugin.distribution} {plugin.version}"}
    try:
        bounded(lambda: function(context), seconds)
    except Overdue as error:
        log.error("hook did not end, going on", seconds=seconds, where=error.where, **words)
    except BaseException as error:
        if _passes(error):
            raise
        log.error("hook failed", exc_info=error, **words)


def not_provisioned(plugin: Plugin, backend: Owned[Backend], error: Exception) -> Problem:
    """Return what is wrong with a plugin whose backend cannot be made, or fails when asked."""
    kind, name = backend.value.kind, backend.value.name
    return Problem(
        code="backend-failed",
        who=who(plugin),
        where=backend.site,
        what=f"its {kind} backend {name} raised {_type(error)}",
        expected="a backend, or StorageUnavailable while it is away",
        got=str(error),
        fix=f"mend it, or choose another backend in [storage] {kind}",
    )


def not_started(failed: Plugin, plugin: Plugin, deployment: str) -> Problem:
    """Return why a plugin is not started that depends on one that failed."""
    return Problem(
        code="degraded-dependency",
        who=who(plugin),
        where=f"depends of plugin {plugin.name}",
        what=f"the plugin {plugin.name} depends on {failed.name}, which has failed",
        expected=f"{failed.name} to work in {deployment}",
        got="its start failed",
        fix=f"mend {failed.name} ({failed.distribution} {failed.version})",
    )


def degraded(plugin: Plugin, problem: Problem) -> Degraded:
    """Return what the composition keeps of a plugin that failed when it was started."""
    return Degraded(
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        why=(problem,),
    )


def who(plugin: Plugin) -> str:
    """Return a plugin with distribution and version, as messages name it."""
    return f"plugin {plugin.name} ({plugin.distribution} {plugin.version})"


def _passes(error: BaseException) -> bool:
    """Say whether an exception is not the plugin's: an interrupt, or a simulated crash."""
    own = type(error).__module__.partition(".")[0] == "rolehost"
    return isinstance(error, KeyboardInterrupt) or (
        own and not isinstance(error, Exception | Overdue)
    )


def _problem(plugin: Plugin, error: BaseException, seconds: float) -> Problem:
    hung = isinstance(error, Overdue)
    return Problem(
        code="start-hung" if hung else "start-raised",
        who=who(plugin),
        where=error.where if isinstance(error, Overdue) else "",
        what="rolehost_start did not end" if hung else f"rolehost_start raised {_type(error)}",
        expected=f"a start within {seconds:g} seconds, [limits] start",
        got=f"interrupted after {seconds:g} seconds, [limits] start" if hung else str(error),
        fix=f"mend it, or take {plugin.name} out of plugins",
    )


def _type(error: BaseException) -> str:
    return type(error).__name__
