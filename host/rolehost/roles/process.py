"""One process of any role: provision, start, ready, drain, stop."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from rolehost.api.hooks import ProcessContext
from rolehost.api.services import Clock
from rolehost.composition.model import Composition, Plugin
from rolehost.composition.storage import needing
from rolehost.delivery.leases import Identity
from rolehost.deployment.model import LimitSettings
from rolehost.errors import RolehostError, StorageRefused, StorageUnavailable
from rolehost.observe.board import Board
from rolehost.roles import plugins
from rolehost.roles.background import PollingListener, background_loops
from rolehost.roles.beats import Beats
from rolehost.roles.loops import Loop
from rolehost.roles.migrating import migrate_at_start
from rolehost.services import ProcessServices
from rolehost.storage import Kind, Listener

log = structlog.get_logger(__name__)


class Process:
    """A process with a role; :meth:`start` is called after the last fork.

    ``slot`` is its number among the processes of its role, from 0; ``incarnation`` counts the
    starts of this slot, from 1. ``announce`` is called with ``waiting`` (for a backend),
    ``ready`` and ``draining``. If ``migrates``, the start applies pending migrations.
    ``background`` is False in a test or a simulation that drives the process step by step.
    """

    def __init__(
        self,
        composition: Composition,
        *,
        role: str,
        slot: int = 0,
        incarnation: int = 1,
        announce: Callable[[str], object] = lambda _: None,
        migrates: bool = False,
        clock: Clock | None = None,
        random: random.Random | None = None,
        beats: Beats | None = None,
        board: Board | None = None,
        background: bool = True,
    ) -> None:
        #: The composition without the plugins whose backends failed. A start may remove others.
        self._provisioned = composition
        self.role = role
        self.slot = slot
        self.incarnation = incarnation
        self.announce = announce
        self._migrates = migrates
        self._clock = clock
        self._random = random
        self.beats = beats or Beats()
        self.board = board or Board()
        self._has_background = background and role != "command"
        self._services: ProcessServices | None = None
        self._unavailable: set[str] = set()
        self._started: list[Plugin] = []
        #: Running background loops, maintenance first.
        self._loops: list[Loop] = []
        self._ready = False
        #: The id of this process in presence rows and leases; each start makes a new one.
        self.identity: Identity
        #: Ends this process so that another one goes on, with the reason; set by its program.
        self.replace: Callable[[str], object] = lambda _: None
        #: Counts the requests, jobs or events in flight; set by the role.
        self.in_flight: Callable[[], int] | None = None

    @property
    def services(self) -> ProcessServices:
        """The services of this process; available from :meth:`start` on."""
        if self._services is None:
            raise RuntimeError("the process has not been started")
        return self._services

    @property
    def composition(self) -> Composition:
        """The composition that this process runs: without the plugins that failed in it."""
        return self._provisioned if self._services is None else self._services.composition

    @property
    def draining(self) -> bool:
        """Whether the process was asked to stop."""
        return self._services is not None and self._services.draining

    def listen(self, names: Collection[str]) -> Listener:
        """Listen for wake-ups; without a queue the listener only waits."""
        has_queue = "queue" in self.composition.backends
        return self.services.queue.listen(names) if has_queue else PollingListener()

    def ping(self) -> None:
        """Check that every backend answers and accepts the settings of the deployment.

        An optional backend that is unavailable is logged once, and the process continues.
        StorageUnavailable: a backend that is not optional does not answer. StorageRefused, a
        subclass: a backend refuses the settings, so waiting cannot help. StartError: a backend
        raised another error, and the deployment does not allow its plugin to fail.
        """
        services = self._provision()
        for kind in tuple(services.backends):
            if kind not in services.backends:
                continue  # its plugin has failed already, for another kind
            try:
                getattr(services, kind).ping()
                if kind == "stream":
                    services.stream.verify(self._topics())
            except StorageUnavailable as error:
                if kind not in services.optional or isinstance(error, StorageRefused):
                    raise
                if kind not in self._unavailable:
                    log.warning("continuing without optional storage", kind=kind, error=str(error))
                self._unavailable.add(kind)
            except RolehostError:
                raise
            except Exception as error:
                self._continue_without(services, kind, error)

    def _continue_without(self, services: ProcessServices, kind: Kind, error: Exception) -> None:
        """Continue without the plugin of the failed backend and the plugins that need it.

        StartFailed: the deployment does not allow that plugin to fail.
        """
        before = self._provisioned
        backend = before.backends[kind]
        failed = before.plugin(backend.plugin)
        log.error("backend failed", plugin=failed.name, kind=kind, exc_info=error)
        failure = plugins.backend_error(failed, backend, error)
        if not before.deployment.may_degrade(failed.name):
            raise failure from error
        kinds = [each for each, owned in before.backends.items() if owned.plugin == failed.name]
        reduced = before.without(failure.degraded, backends=False)
        for name in needing(reduced, kinds):
            other = plugins.dependency_error(failed, before.plugin(name), services.deployment)
            reduced = reduced.without(other.degraded)
        self._provisioned = services.composition = reduced

    def _topics(self) -> frozenset[str]:
        read = self.composition.handlers if self.role == "consumer" else ()
        return self.composition.publishes | {owned.value.topic for owned in read}

    def _provision(self) -> ProcessServices:
        if self._services is None:
            self._services = ProcessServices(
                self._provisioned,
                role=self.role,
                clock=self._clock,
                random=self._random,
                board=self.board,
            )
        return self._services

    def start(self) -> None:
        """Build services, bind models, run the plugins' start hooks, start background loops.

        After an error, the started plugins are stopped again. StartError: a plugin failed, or
        migrations are pending. StorageUnavailable: the start may be tried again.
        """
        services = self._provision()
        name = f"{self.role}.{self.slot}.{self.incarnation}-{os.getpid()}-{os.urandom(4).hex()}"
        self.identity = Identity(name, services.deployment, self.role, self.slot, self.incarnation)
        try:
            if self._migrates:
                for migration in migrate_at_start(self.composition, services.database):
                    log.info("migrated", migration=migration.location)
            services.bind_models()
            self._start_plugins(services)
            if self._has_background:
                self._loops = background_loops(
                    self.composition, services, self.identity, self._vitals, self.beats, self.listen
                )
                for loop in self._loops:
                    loop.start()
        except BaseException:
            self.stop()
            self._services = None
            raise

    def _vitals(self) -> tuple[str, int | None]:
        state = "draining" if self.draining else "ready" if self._ready else "starting"
        hanging = [each.process for each in self.board.read().hangs]
        if state == "ready" and hanging:
            own = f"{self.role}.{self.slot}" in hanging
            state = "hung" if own else f"unready: {', '.join(hanging)} hangs"
        return state, None if self.in_flight is None else self.in_flight()

    def mark_ready(self) -> None:
        """Show in the presence row that this process takes work."""
        self._ready = True
        self._renew_presence()

    def _renew_presence(self) -> None:
        if self._loops:
            self._loops[0].interrupt()

    def announce_ready(self) -> None:
        """Tell the supervisor and other processes that this process takes work."""
        self.mark_ready()
        self.announce("ready")

    def drain(self) -> None:
        """Become unready; the role itself must stop taking work."""
        if self._services is None or self._services.draining:
            return
        self._services.draining = True
        self._renew_presence()
        self.announce("draining")

    def stop(self) -> None:
        """Stop loops and plugins in reverse order, then close the services. Idempotent."""
        if self._services is None:
            return
        while self._loops:
            self._loops.pop().stop()
        while self._started:
            self._stop_last()
        self._services.close()

    def _stop_last(self) -> None:
        plugin = self._started.pop()
        plugins.stop(plugin, self._context(plugin), self._limits.stop)

    def _start_plugins(self, services: ProcessServices) -> None:
        """Start the plugins in order; remove those that fail and are allowed to fail."""
        # An earlier attempt to start may have removed plugins from the composition.
        services.composition = self._provisioned
        if self.role != "command":  # a command's output must not mix with these lines
            for each in self._provisioned.degraded:
                log.error("plugin degraded", plugin=each.name, error=each.reason)
        failed: dict[str, Plugin] = {}
        for plugin in self._provisioned.plugins:
            undo = services.checkpoint()
            self._started.append(plugin)
            try:
                self._start_plugin(plugin, failed)
            except plugins.StartFailed as error:
                if not services.composition.deployment.may_degrade(plugin.name):
                    raise
                log.error("plugin degraded", plugin=plugin.name, error=str(error))
                failed[plugin.name] = plugin
                self._stop_last()
                undo()
                services.composition = services.composition.without(error.degraded)
        for each in services.composition.degraded:
            services.recorders.degraded(each.name)

    def _start_plugin(self, plugin: Plugin, failed: Mapping[str, Plugin]) -> None:
        missing = next((name for name in plugin.info.depends if name in failed), None)
        if missing is not None:
            raise plugins.dependency_error(failed[missing], plugin, self.services.deployment)
        # This is less than the supervisor's timeout, so that an error names the hook before the
        # supervisor kills the process.
        patience = self.composition.deployment.host.supervisor.start_timeout / 2
        plugins.start(plugin, self._context(plugin), min(self._limits.start, patience))

    @property
    def _limits(self) -> LimitSettings:
        return self.composition.deployment.host.limits

    def _context(self, plugin: Plugin) -> ProcessContext:
        services: Any = self.services
        return ProcessContext(
            plugin=plugin.name,
            settings=plugin.settings,
            services=services,
            role=self.role,
            record=self.services.recorders.add,
            extensions=self.composition.extensions_of(plugin.name),
        )
