"""The hooks that a plugin may implement, and the contexts that the host passes to them.

A plugin is the object of an entry point in the group ``rolehost``: a module, or an object, whose
functions are marked with :data:`hookimpl`. Only ``rolehost_plugin`` is required. An implementation
takes ``context`` or no argument. The host calls the plugins in the order of their dependencies,
and in reverse for ``rolehost_stop``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol

import pluggy

from rolehost.api.actors import Actor
from rolehost.api.contributions import (
    Authentication,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Extension,
    Middleware,
    Migrations,
    PluginInfo,
    Route,
    Schedule,
)
from rolehost.api.executions import JobMiddleware
from rolehost.api.handlers import Handler
from rolehost.api.observe import Recorder
from rolehost.api.services import Services
from rolehost.api.variables import S_co

#: Name of the entry-point group and prefix of all hooks.
GROUP = "rolehost"

hookspec = pluggy.HookspecMarker(GROUP)

#: Marks a function as the implementation of the hook of its name.
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareContext(Generic[S_co]):
    """The argument of every declaring hook.

    If it is annotated as ``DeclareContext[MySettings]``, ``context.settings`` has that type.

    Attributes:
        plugin: name of the plugin.
        settings: its typed settings (:attr:`PluginInfo.settings`); None if it has none.
        deployment: name of the deployment.
        environment: ``[deployment] environment``: ``production``, ``development`` or ``test``.
        extensions: items that other plugins gave to the extension points of this plugin: hook →
            items in the order of the plugins. A hook has an empty sequence if there are no items,
            or if processes of this role do not need them. A hook is missing if the items are
            unknown: a plugin failed to give them, or only this plugin is examined.
    """

    plugin: str
    settings: S_co
    deployment: str
    environment: str = "development"
    extensions: Mapping[str, Sequence[Extension[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext(Generic[S_co]):
    """The argument of ``rolehost_start`` and ``rolehost_stop``.

    Attributes:
        plugin: name of the plugin.
        settings: its typed settings, as in :class:`DeclareContext`.
        services: the services of this process.
        role: role of the process: ``http``, ``worker``, ``consumer``, ``scheduler`` or
            ``command``.
        record: adds a :class:`Recorder`; only in ``rolehost_start``.
        extensions: as in :class:`DeclareContext`.
    """

    plugin: str
    settings: S_co
    services: Services
    role: str
    record: Callable[[Recorder], None]
    extensions: Mapping[str, Sequence[Extension[Any]]] = field(default_factory=dict)


class CommandContext(Protocol):
    """The object ``ctx.obj`` of a contributed command."""

    @property
    def composition(self) -> Any:
        """The composition of the deployment, for listings.

        Raises:
            ConfigurationError: with every error of the deployment and its plugins.
        """

    def services(self) -> Services:
        """Start the enabled plugins in this process, and return its services.

        When the command ends, the plugins are stopped and the services are closed.
        """

    def compositions(self, paths: Sequence[Path]) -> Sequence[Any]:
        """Compose several deployments, for example for one AsyncAPI document of a fleet.

        Raises:
            ConfigurationError: with every error of every deployment.
        """


class Hooks:
    """The hook specifications, in the order of the lifecycle.

    All hooks but the last two are **declaring** hooks. They must have no side effects. The host
    calls them before anything is provisioned: in every command that composes the deployment, and
    in every process. But only the role ``http`` calls the hooks for routes, middleware and checks,
    only ``worker`` and ``consumer`` call the hook for job middleware, and no role calls the hook
    for commands.

    A declaring hook has failed if it raises an exception or takes longer than ``[limits]
    declare``. The deployment then refuses to start, with an error that names plugin, distribution
    and hook. If ``[on_failure]`` allows it, the process runs without the plugin instead. Two
    exceptions are special: the problems of a :class:`~rolehost.errors.ConfigurationError` are
    reported unchanged, and :class:`~rolehost.errors.SettingRefused` refuses a setting, for example
    a default that is not safe in production.

    A plugin may add hooks for other plugins: see :class:`ExtensionPoint`.
    """

    @hookspec
    def rolehost_plugin(self, context: DeclareContext) -> PluginInfo:
        """Describe the plugin. Required; called first, with ``context.settings`` None.

        Returns:
            One :class:`PluginInfo`; None is an error.

        Since plugin API 1.
        """
        raise NotImplementedError  # a specification, never called

    @hookspec
    def rolehost_backends(self, context: DeclareContext) -> Sequence[Backend] | None:
        """Return storage backends. Their factories are called after the fork, in every process.

        Returns:
            Backends; None: no backends.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_migrations(self, context: DeclareContext) -> Sequence[Migrations] | None:
        """Return SQL files and models of the plugin; applied in the order of the plugins.

        Returns:
            Migrations; None: no migrations.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_topics(self, context: DeclareContext) -> Sequence[str] | None:
        """Return topics that the plugin publishes to, in addition to ``PluginInfo.publishes``.

        Use it for topics that come from the plugin's settings, which ``rolehost_plugin`` does not
        get.

        Returns:
            Topics; None: no topics.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_routes(
        self, context: DeclareContext
    ) -> Sequence[Route | ErrorFormat | Authentication] | None:
        """Return HTTP routes, their authentication, and error formats for path prefixes.

        A route adds the role ``http`` to the deployment.

        Returns:
            Routes, error formats and at most one authentication; None: no contributions.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_middleware(self, context: DeclareContext) -> Sequence[Middleware] | None:
        """Return Falcon ASGI middleware; it runs around every route of the process.

        Returns:
            Middleware; None: no middleware.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_actors(self, context: DeclareContext) -> Sequence[Actor] | None:
        """Return actors. An actor adds the role ``worker`` to the deployment.

        Returns:
            Actors; None: no actors.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_handlers(self, context: DeclareContext) -> Sequence[Handler] | None:
        """Return event handlers. A handler adds the role ``consumer`` to the deployment.

        Returns:
            Handlers; None: no handlers.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_job_middleware(self, context: DeclareContext) -> Sequence[JobMiddleware] | None:
        """Return middleware around the attempts of all durable jobs and events of the process.

        For error reporting, tracing, and context that code deep in an actor needs.

        Returns:
            Middleware; None: no middleware.

        Since plugin API 2.
        """

    @hookspec
    def rolehost_schedules(self, context: DeclareContext) -> Sequence[Schedule] | None:
        """Return schedules. A schedule adds the role ``scheduler`` to the deployment.

        Returns:
            Schedules; None: no schedules.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_checks(self, context: DeclareContext) -> Sequence[Check] | None:
        """Return health checks. They run in a thread when a probe asks.

        Returns:
            Checks; None: no checks.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_commands(self, context: DeclareContext) -> Sequence[Command] | None:
        """Return commands below ``rolehost``. They are imported when they are called.

        Returns:
            Commands; None: no commands.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_start(self, context: ProcessContext) -> None:
        """Register services and recorders of this process, after the fork and before any work.

        A recorder gets one call for each finished piece of work; see :class:`Recorder`.

        The hook may start threads; they must end in ``rolehost_stop``. If it raises an exception
        or takes longer than ``[limits] start``, the process stops with an error that names the
        plugin, and the plugins that have started are stopped in reverse order. If ``[on_failure]``
        allows it, the process runs without the plugin instead.

        Since plugin API 1.
        """

    @hookspec
    def rolehost_stop(self, context: ProcessContext) -> None:
        """Release everything. Must be idempotent; also called after a failed or partial start.

        If the hook raises an exception or takes longer than ``[limits] stop``, the error is logged
        and the other plugins are stopped.

        Since plugin API 1.
        """


#: Hooks that return contributions, with the classes that each may return.
DECLARING: dict[str, tuple[type[Any], ...]] = {
    "rolehost_backends": (Backend,),
    "rolehost_migrations": (Migrations,),
    "rolehost_topics": (str,),
    "rolehost_routes": (Route, ErrorFormat, Authentication),
    "rolehost_middleware": (Middleware,),
    "rolehost_actors": (Actor,),
    "rolehost_handlers": (Handler,),
    "rolehost_job_middleware": (JobMiddleware,),
    "rolehost_schedules": (Schedule,),
    "rolehost_checks": (Check,),
    "rolehost_commands": (Command,),
}
