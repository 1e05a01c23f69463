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
        problem: what is wrong, and with which plugin.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        where = f" at {problem.where}" if problem.where else ""
        super().__init__(f"{problem.who}: {problem.what}: {problem.got}{where}; {problem.fix}")


def start(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_start``, if it has one.

    Raises:
        StartFailed: it raised, or did not end within so many seconds.
        StorageUnavailable: the hook raised it: a backend is away, the start is tried again.
    """
    hook = implementation(plugin.module, "rolehost_start")
    if hook is None:
        return
    try:
        bounded(lambda: hook(context), seconds)
    except StorageUnavailable:
        raise
    except Overdue as error:
        hung = f"interrupted after {seconds:g} seconds, [limits] start"
        what = "rolehost_start did not end"
        raise _start_failed("start-hung", plugin, what, hung, seconds, error.where) from error
    except BaseException as error:
        if not _of_plugin(error):
            raise
        if not isinstance(error, RolehostError):
            log.error("start failed", plugin=plugin.name, exc_info=error)
        what = f"rolehost_start raised {type(error).__name__}"
        raise _start_failed("start-raised", plugin, what, str(error), seconds) from error


def stop(plugin: Plugin, context: ProcessContext, seconds: float) -> None:
    """Run a plugin's ``rolehost_stop``, if it has one; a failure is logged."""
    hook = implementation(plugin.module, "rolehost_stop")
    if hook is None:
        return
    words = {
        "plugin": plugin.name,
        "hook": "rolehost_stop",
        "of": f"{plugin.distribution} {plugin.version}",
    }
    try:
        bounded(lambda: hook(context), seconds)
    except Overdue as error:
        log.error("hook did not end, going on", seconds=seconds, where=error.where, **words)
    except BaseException as error:
        if not _of_plugin(error):
            raise
        log.error("hook failed", exc_info=error, **words)


def backend_failed(plugin: Plugin, backend: Owned[Backend], error: Exception) -> Problem:
    """Return the problem of a backend that cannot be made, or fails when it is pinged."""
    kind, name = backend.value.kind, backend.value.name
    return Problem(
        code="backend-failed",
        who=_who(plugin),
        where=backend.location,
        what=f"its {kind} backend {name} raised {type(error).__name__}",
        expected="a backend, or StorageUnavailable while it is away",
        got=str(error),
        fix=f"mend it, or choose another backend in [storage] {kind}",
    )


def dependency_failed(failed: Plugin, plugin: Plugin, deployment: str) -> Problem:
    """Return the problem of a plugin that depends on one that failed."""
    return Problem(
        code="degraded-dependency",
        who=_who(plugin),
        where=f"depends of plugin {plugin.name}",
        what=f"the plugin {plugin.name} depends on {failed.name}, which has failed",
        expected=f"{failed.name} to work in {deployment}",
        got="its start failed",
        fix=f"mend {failed.name} ({failed.distribution} {failed.version})",
    )


def degraded(plugin: Plugin, problem: Problem) -> Degraded:
    """Return what the composition keeps of a plugin that failed at its start."""
    return Degraded(
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        why=(problem,),
    )


def _who(plugin: Plugin) -> str:
    return f"plugin {plugin.name} ({plugin.distribution} {plugin.version})"


def _of_plugin(error: BaseException) -> bool:
    """Return False for an interrupt from the keyboard and for a simulated crash."""
    own = type(error).__module__.partition(".")[0] == "rolehost"
    return not isinstance(error, KeyboardInterrupt) and (not own or isinstance(error, Exception))


def _start_failed(
    code: str, plugin: Plugin, what: str, got: str, seconds: float, where: str = ""
) -> StartFailed:
    return StartFailed(
        Problem(
            code=code,
            who=_who(plugin),
            where=where,
            what=what,
            expected=f"a start within {seconds:g} seconds, [limits] start",
            got=got,
            fix=f"mend it, or take {plugin.name} out of plugins",
        )
    )
