"""One role process: provision, start, ready, drain, stop – the same in every role."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import structlog

from rolehost.api.hooks import ProcessContext
from rolehost.api.observe import Recorder
from rolehost.api.services import Clock
from rolehost.composition.model import Composition, Plugin
from rolehost.composition.needs import needing
from rolehost.delivery.leases import Identity
from rolehost.deployment.model import LimitSettings
from rolehost.errors import RolehostError, StorageRefused, StorageUnavailable
from rolehost.observe.board import Board
from rolehost.roles import hooks
from rolehost.roles.beats import Beats
from rolehost.roles.migrating import bring_up
from rolehost.roles.upkeep import Upkeep
from rolehost.services import ProcessServices
from rolehost.storage import Kind

log = structlog.get_logger(__name__)


class Process:
    """A process with a role; :meth:`start` is called after the last fork.

    Args:
        composition: what it is made of.
        role: ``http``, ``worker``, ``consumer``, ``scheduler`` or ``command``.
        slot: number among the processes of its role, from 0.
        incarnation: how often this slot was started, from 1.
        announce: told ``waiting``, ``ready`` and ``draining``; None tells nobody.
        migrates: bring the schema up at the start, for it could not be done before.
        clock: the time; None takes the system's.
        random: the random source; None takes a fresh one.
        beats: tells the supervisor of progress; None tells nobody.
        board: what the supervisor tells; None: nothing.
        upkeep: renew presence, sweep and relay in threads of its own; False leaves that to
            whoever drives the process step by step, such as a test.
    """

    def __init__(
        self,
        composition: Composition,
        *,
        role: str,
        slot: int = 0,
        incarnation: int = 1,
        announce: Callable[[str], object] | None = None,
        migrates: bool = False,
        clock: Clock | None = None,
        random: random.Random | None = None,
        beats: Beats | None = None,
        board: Board | None = None,
        upkeep: bool = True,
    ) -> None:
        self.composition = composition
        self._whole = composition
        self.role = role
        self.slot = slot
        self.incarnation = incarnation
        self._announce = announce
        self._migrates = migrates
        self._clock = clock
        self._random = random
        self.beats = beats or Beats()
        self.board = board or Board()
        self._keeps_up = upkeep and role != "command"
        self._services: ProcessServices | None = None
        self._without: set[str] = set()
        self._started: list[Plugin] = []
        self._upkeep: Upkeep | None = None
        self._ready = False
        #: Counts the requests, jobs or events that it is busy with; set by its role.
        self.in_flight: Callable[[], int] | None = None

    @property
    def services(self) -> ProcessServices:
        """The services of this process; there from :meth:`start` on."""
        if self._services is None:
            raise RuntimeError("the process has not been started")
        return self._services

    @property
    def recorder(self) -> Recorder:
        """Tells every recorder that plugins added."""
        return self.services.recorders

    @property
    def draining(self) -> bool:
        """Whether it was told to stop."""
        return self._services is not None and self._services.draining

    @property
    def identity(self) -> Identity:
        """Who this process is in presence rows and leases; another one after every fork."""
        return self._identity

    def ping(self) -> None:
        """Return when every backend answers and takes what the deployment says.

        One that is optional and away is told once, and gone on without.

        Raises:
            StorageUnavailable: one does not; StorageRefused, which it includes: waiting cannot
                help.
            StartError: one raised something else.
        """
        services = self._provision()
        for kind in tuple(services.backends):
            if kind not in services.backends:
                continue  # its plugin failed with another kind
            try:
                getattr(services, kind).ping()
                if kind == "stream":
                    services.stream.verify(self._topics())
            except StorageUnavailable as error:
                if kind not in services.optional or isinstance(error, StorageRefused):
                    raise
                if kind not in self._without:
                    log.warning("going on without storage", kind=kind, error=str(error))
                self._without.add(kind)
            except RolehostError:
                raise
            except Exception as error:
                self._not_provisioned(kind, error)

    def _not_provisioned(self, kind: Kind, error: Exception) -> None:
        """Go on without the plugin whose backend failed, and without those that need it.

        Raises:
            StartFailed: nothing may go on without it.
        """
        owned = self._whole.backends[kind]
        problem = hooks.not_provisioned(self._whole.plugin(owned.plugin), owned, error)
        log.error("backend failed", plugin=owned.plugin, kind=kind, exc_info=error)
        if not self._whole.deployment.may_degrade(owned.plugin):
            raise hooks.StartFailed(problem) from error
        failed = self._whole.plugin(owned.plugin)
        kinds = [each for each, of in self._whole.backends.items() if of.plugin == failed.name]
        left = self._whole.without(hooks.degraded(failed, problem), backends=False)
        for name in needing(left, kinds):
            other = self._whole.plugin(name)
            why = hooks.not_started(failed, other, left.deployment.name)
            left = left.without(hooks.degraded(other, why))
        self._whole = self.composition = left
        if self._services is not None:
            self._services.composition = left

    def _topics(self) -> frozenset[str]:
        """Return the topics that this process publishes to or reads."""
        read = self.composition.handlers if self.role == "consumer" else ()
        return self.composition.publishes | {owned.value.topic for owned in read}

    def _provision(self) -> ProcessServices:
        if self._services is None:
            self._services = ProcessServices(
                self.composition,
                role=self.role,
                clock=self._clock,
                random=self._random,
                board=self.board,
            )
        return self._services

    def start(self) -> None:
        """Build services, bind models, announce presence, run the plugins' start hooks.

        Raises:
            StartError: a plugin's start failed; what had started is stopped again.
            RolehostError: storage cannot be reached. The process may be started once more.
        """
        services = self._provision()
        self._identity = Identity(
            f"{self.role}.{self.slot}.{self.incarnation}-{os.getpid()}-{os.urandom(4).hex()}",
            services.deployment,
            self.role,
            self.slot,
            self.incarnation,
        )
        try:
            if self._migrates:
                for migration in bring_up(self.composition, services.database):
                    log.info("migrated", migration=migration.site)
            services.bind_models()
            self._start_plugins(services)
            if self._keeps_up:
                self._upkeep = Upkeep.of(
                    self.composition, services, self._identity, self._vitals, self.beats
                )
                self._upkeep.start()
        except BaseException:
            self.stop()
            self._services = None
            raise

    def _vitals(self) -> tuple[str, int | None]:
        """Return the state and what is in flight, for the presence row."""
        state = "draining" if self.draining else "ready" if self._ready else "starting"
        hanging = [each.process for each in self.board.read().hangs]
        if state == "ready" and hanging:
            own = f"{self.role}.{self.slot}" in hanging
            state = "hung" if own else f"unready: {', '.join(hanging)} hangs"
        return state, None if self.in_flight is None else self.in_flight()

    def takes_work(self) -> None:
        """Show in the presence row that work is taken."""
        self._ready = True
        if self._upkeep is not None:
            self._upkeep.tell()

    def announce_ready(self) -> None:
        """Tell the supervisor that work is taken."""
        self.takes_work()
        if self._announce is not None:
            self._announce("ready")

    def announce_waiting(self) -> None:
        """Tell the supervisor that the start lasts as long as a backend is away."""
        if self._announce is not None:
            self._announce("waiting")

    def drain(self) -> None:
        """Turn unready; the role stops taking work itself."""
        if self._services is None or self._services.draining:
            return
        self._services.draining = True
        if self._upkeep is not None:
            self._upkeep.tell()
        if self._announce is not None:
            self._announce("draining")

    def stop(self) -> None:
        """Stop plugins in reverse, give up presence, close services. Idempotent."""
        if self._services is None:
            return
        if self._upkeep is not None:
            self._upkeep.stop()
            self._upkeep = None
        while self._started:
            self._call(self._started.pop(), "rolehost_stop", self._limits.stop)
        self._services.close()

    def _start_plugins(self, services: ProcessServices) -> None:
        """Start the plugins in their order; those that may fail are left out when they do."""
        # An earlier start may have been given up because a backend was away.
        services.composition = self.composition = self._whole
        for each in self._whole.degraded:
            if self.role != "command":  # whose output is for somebody else
                log.error("plugin degraded", plugin=each.name, error=each.reason)
        failed: dict[str, Plugin] = {}
        for plugin in self._whole.plugins:
            missing = next((name for name in plugin.info.depends if name in failed), None)
            self._started.append(plugin)
            undo = services.checkpoint()
            try:
                if missing is not None:
                    problem = hooks.not_started(failed[missing], plugin, services.deployment)
                    raise hooks.StartFailed(problem)
                hooks.start(plugin, self._context(plugin), self._start_limit)
            except hooks.StartFailed as error:
                if not self._whole.deployment.may_degrade(plugin.name):
                    raise
                log.error("plugin degraded", plugin=plugin.name, error=str(error))
                failed[plugin.name] = plugin
                self._call(self._started.pop(), "rolehost_stop", self._limits.stop)
                undo()
                self.composition = self.composition.without(hooks.degraded(plugin, error.problem))
        services.composition = self.composition
        for each in self.composition.degraded:
            services.recorders.degraded(each.name)

    @property
    def _start_limit(self) -> float:
        """Seconds for a start hook: the supervisor must not kill who is about to name it."""
        patience = self.composition.deployment.host.supervisor.start_timeout
        return min(self._limits.start, patience / 2)

    @property
    def _limits(self) -> LimitSettings:
        return self.composition.deployment.host.limits

    def _call(self, plugin: Plugin, hook: str, seconds: float) -> None:
        hooks.call(plugin, hook, self._context(plugin), seconds)

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
