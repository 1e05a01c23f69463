"""The hooks a plugin may implement, and the contexts they are given.

A plugin is what an entry point of the group ``rolehost`` names: a module or an object whose
functions are marked with :data:`hookimpl`. Every hook is optional but ``rolehost_plugin``; an
implementation takes ``context`` or nothing. The host calls them plugin by plugin, in the order
of dependencies; ``rolehost_stop`` in reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol

import pluggy

from rolehost.api.contributions import (
    Actor,
    Authentication,
    Backend,
    Check,
    Command,
    ErrorFormat,
    Extension,
    Handler,
    Middleware,
    Migrations,
    PluginInfo,
    Route,
    Schedule,
)
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
    """Given to every declaring hook.

    Attributes:
        plugin: the plugin's name.
        settings: its typed settings, as :attr:`PluginInfo.settings` says; None without. A hook
            whose parameter is a ``DeclareContext[MySettings]`` has their type.
        deployment: name of the deployment.
        environment: ``[deployment] environment``: ``production``, ``development`` or ``test``.
        extensions: what other plugins gave to this plugin's extension points: hook → items in
            the order of plugins. Every point is there, empty when nothing was given to it or
            when processes of this role do not read it; one is missing when what was given could
            not be told: a plugin failed to give, or this plugin is looked at by itself.
    """

    plugin: str
    settings: S_co
    deployment: str
    environment: str = "development"
    extensions: Mapping[str, Sequence[Extension[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext(Generic[S_co]):
    """Given to ``rolehost_start`` and ``rolehost_stop``.

    Attributes:
        plugin: the plugin's name.
        settings: its typed settings, as in :class:`DeclareContext`; None without.
        services: the services of this process.
        role: what the process is.
        record: adds a recorder of the host's work; in ``rolehost_start`` only.
        extensions: as in :class:`DeclareContext`.
    """

    plugin: str
    settings: S_co
    services: Services
    role: str
    record: Callable[[Recorder], None]
    extensions: Mapping[str, Sequence[Extension[Any]]] = field(default_factory=dict)


class CommandContext(Protocol):
    """What ``ctx.obj`` is in a contributed command."""

    @property
    def composition(self) -> Any:
        """The composition of the deployment, for listings; None when none was composed."""

    def services(self) -> Services:
        """Provision and start the enabled plugins in this process; closed at the end."""

    def compositions(self, paths: Sequence[Path]) -> Sequence[Any]:
        """Compose several deployments, for documents of a fleet.

        Raises:
            ConfigurationError: with every mistake of every deployment.
        """


class Hooks:
    """The hook specifications, in the order of the lifecycle.

    All but the last two are **declaring**: called by every command that composes, and in
    every process that reads what they give (routes, middleware and checks in the role
    ``http`` alone, commands in none), before anything is provisioned. No side effects are
    allowed; raising, or taking longer than ``[limits] declare``, makes the deployment refuse to
    start, naming plugin, distribution and hook, or go on without the plugin where
    ``[on_failure]`` says so.
    One that raises :class:`~rolehost.errors.ConfigurationError` is told by the problems that it
    carries, in its own words; one that raises :class:`~rolehost.errors.SettingRefused` refuses a
    setting that would be right elsewhere, in production for instance.

    A plugin may add hooks of its own (:class:`ExtensionPoint`), which others implement.
    """

    @hookspec
    def rolehost_plugin(self, context: DeclareContext) -> PluginInfo:
        """Say what the plugin is and needs. Required; called first, with settings None.

        Returns:
            One :class:`PluginInfo`. None is an error.

        Since plugin API 1. Used by every plugin.
        """
        raise NotImplementedError  # a specification, never called

    @hookspec
    def rolehost_backends(self, context: DeclareContext) -> Sequence[Backend] | None:
        """Offer storage backends. Factories are called after the fork, in every process.

        Returns:
            Backends; None is none.

        Since plugin API 1. Used by ``embedded``.
        """

    @hookspec
    def rolehost_migrations(self, context: DeclareContext) -> Sequence[Migrations] | None:
        """Name the plugin's SQL files and models; run in the order of plugins.

        Returns:
            Migrations; None is none.

        Since plugin API 1. Used by ``webhooks-api``.
        """

    @hookspec
    def rolehost_topics(self, context: DeclareContext) -> Sequence[str] | None:
        """Name the topics that it publishes to besides those of ``PluginInfo.publishes``.

        For topics that the plugin's settings name: ``rolehost_plugin`` does not know them yet.

        Returns:
            Topics; None is none.

        Since plugin API 1. Used by ``webhooks-ingest``.
        """

    @hookspec
    def rolehost_routes(
        self, context: DeclareContext
    ) -> Sequence[Route | ErrorFormat | Authentication] | None:
        """Give HTTP routes, who may use them, and error formats for path prefixes.

        A route makes the role ``http``.

        Returns:
            Routes, error formats and at most one authentication; None is none.

        Since plugin API 1. Used by ``webhooks-api``, ``ops``, ``openapi``.
        """

    @hookspec
    def rolehost_middleware(self, context: DeclareContext) -> Sequence[Middleware] | None:
        """Give Falcon ASGI middleware; runs around every route of the process.

        Returns:
            Middleware; None is none.

        Since plugin API 1. Used by the reference plugin in ``tests/plugins``.
        """

    @hookspec
    def rolehost_actors(self, context: DeclareContext) -> Sequence[Actor] | None:
        """Give actors. Any makes the role ``worker``.

        Returns:
            Actors; None is none.

        Since plugin API 1. Used by ``webhooks-delivery``.
        """

    @hookspec
    def rolehost_handlers(self, context: DeclareContext) -> Sequence[Handler] | None:
        """Give event handlers. Any makes the role ``consumer``.

        Returns:
            Handlers; None is none.

        Since plugin API 1. Used by ``webhooks-ingest``.
        """

    @hookspec
    def rolehost_schedules(self, context: DeclareContext) -> Sequence[Schedule] | None:
        """Give schedules. Any makes the role ``scheduler``.

        Returns:
            Schedules; None is none.

        Since plugin API 1. Used by ``webhooks-delivery``.
        """

    @hookspec
    def rolehost_checks(self, context: DeclareContext) -> Sequence[Check] | None:
        """Give health checks; run when a probe asks, in a thread.

        Returns:
            Checks; None is none.

        Since plugin API 1. Used by ``webhooks-delivery``.
        """

    @hookspec
    def rolehost_commands(self, context: DeclareContext) -> Sequence[Command] | None:
        """Give commands below ``rolehost``; imported when called.

        Returns:
            Commands; None is none.

        Since plugin API 1. Used by ``webhooks-api``.
        """

    @hookspec
    def rolehost_start(self, context: ProcessContext) -> None:
        """Register services and recorders of this process, after the fork, before work.

        Threads may be started here; they must end in ``rolehost_stop``. Raising stops the
        process, naming the plugin; what had started is stopped in reverse. Where
        ``[on_failure]`` says so, the process goes on without the plugin instead. Taking longer
        than ``[limits] start`` is a failure too.

        Since plugin API 1. Used by ``ops``, ``webhooks-delivery``.
        """

    @hookspec
    def rolehost_stop(self, context: ProcessContext) -> None:
        """Let go of everything; also called after a failed or partial start. Idempotent.

        Raising is logged and stops nothing; nor does taking longer than ``[limits] stop``.
        Since plugin API 1. Used by ``ops``.
        """


#: Hooks that return contributions, with the classes each may return.
DECLARING: dict[str, tuple[type[Any], ...]] = {
    "rolehost_backends": (Backend,),
    "rolehost_migrations": (Migrations,),
    "rolehost_topics": (str,),
    "rolehost_routes": (Route, ErrorFormat, Authentication),
    "rolehost_middleware": (Middleware,),
    "rolehost_actors": (Actor,),
    "rolehost_handlers": (Handler,),
    "rolehost_schedules": (Schedule,),
    "rolehost_checks": (Check,),
    "rolehost_commands": (Command,),
}
