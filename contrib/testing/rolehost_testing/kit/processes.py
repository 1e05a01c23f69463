"""The simulated processes of one host: one per role, started on first use."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from rolehost.api import Actor
from rolehost.composition import Composition
from rolehost.delivery.scopes import current_scope
from rolehost.roles.process import Process
from rolehost.services import ProcessServices

from rolehost_testing.kit.metrics import Metrics
from rolehost_testing.kit.world import World

#: The host whose code runs in this context; None if the test's code runs.
inside: ContextVar[object | None] = ContextVar("rolehost_kit_inside", default=None)


class Processes:
    """The processes of a deployment, run by the test without threads.

    The test itself uses the process of the role ``command``. It exists from the start and
    survives simulated crashes.

    Args:
        host: the host of the processes, for :data:`inside`.
        composition: the composition of the processes.
        world: the clock and the seed.
        woken: called after each commit with the names that it wakes.
    """

    def __init__(
        self,
        host: object,
        composition: Composition,
        world: World,
        woken: Callable[[Collection[str]], None],
    ) -> None:
        self._host = host
        self.composition = composition
        self._world = world
        self._woken = woken
        self._running: dict[str, Process] = {}
        self._dead: list[Process] = []
        self._incarnation = 1
        self.metrics = Metrics()
        self._models = [model for owned in composition.migrations for model in owned.value.models]
        self._before = [(model, model._meta.database) for model in self._models]

    def of(self, role: str) -> Process:
        """Return the running process of a role; start it if there is none.

        Raises:
            StartError: a plugin's start hook raised.
        """
        found = self._running.get(role)
        if found is None:
            chance = random.Random(f"{self._world.seed} {self.composition.deployment.name} {role}")
            found = Process(
                self.composition,
                role=role,
                incarnation=self._incarnation,
                clock=self._world.clock,
                random=chance,
                background=False,
            )
            with self._marked():
                found.start()
            if "database" in self.composition.backends:
                self._listen(found.services)
            if any(not owned.value.durable for owned in self.composition.actors.values()):
                self._overhear(found.services)
            found.services.recorders.add(self.metrics)
            self._running[role] = found
            if role != "command":
                # The start bound the models to this process; bind them to the test's process again.
                self.bind("command")
        return found

    def services(self, role: str) -> ProcessServices:
        """Return the services of the process of a role."""
        return self.of(role).services

    @contextmanager
    def within(self, role: str) -> Iterator[ProcessServices]:
        """Run the block as the process of a role: in a session, with the models bound to it."""
        services = self.services(role)
        with self._marked(), self.session(services), self._bound(services):
            yield services

    def session(self, services: ProcessServices) -> AbstractContextManager[None]:
        """Return a session of the database, or an empty context if there is no database."""
        if "database" not in self.composition.backends:
            return nullcontext()
        return services.database.session()

    def bind(self, role: str) -> None:
        """Bind the plugins' models to the database of one process until the next call."""
        if self._models:
            self.services(role).bind_models()

    def crash(self) -> None:
        """Kill all processes except ``command``: no hooks run, no jobs or leases are released."""
        for role in [role for role in self._running if role != "command"]:
            self._dead.append(self._running.pop(role))
        self._incarnation += 1

    def stop(self, *, all_of_them: bool) -> None:
        """Drain and stop running processes; ``all_of_them``: also crashed ones and ``command``."""
        roles = [role for role in reversed(self._running) if all_of_them or role != "command"]
        for role in roles:
            process = self._running.pop(role)
            with self._marked():
                process.drain()
                process.stop()
        self._incarnation += 1
        if all_of_them:
            while self._dead:
                self._dead.pop().stop()
            for model, database in self._before:
                model._meta.set_database(database)

    def expire(self) -> list[str]:
        """Return the identities of crashed processes."""
        return [process.identity.id for process in self._dead]

    @contextmanager
    def _marked(self) -> Iterator[None]:
        token = inside.set(self._host)
        try:
            yield
        finally:
            inside.reset(token)

    def _bound(self, services: ProcessServices) -> AbstractContextManager[Any]:
        if not self._models:
            return nullcontext()
        context: AbstractContextManager[Any] = services.database.peewee.bind_ctx(self._models)
        return context

    def _listen(self, services: ProcessServices) -> None:
        """Notify the host of every commit, in addition to the listeners for wake-ups."""
        runtime = services.delivery
        wake = runtime.wake

        def woken(names: Collection[str]) -> None:
            wake(names)
            self._woken(names)

        runtime.wake = woken

    def _overhear(self, services: ProcessServices) -> None:
        """Notify the host of ephemeral messages; in a unit of work, at its end."""
        send = services.send

        def sent(actor: Actor, /, *, delay: float | None = None, **arguments: Any) -> None:
            send(actor, delay=delay, **arguments)
            scope = current_scope()
            if scope is not None and scope.work is not None:
                scope.work.after_commit(lambda: self._woken(()))
            else:
                self._woken(())

        services.send = sent  # type: ignore[method-assign]
