"""A host in the test process, with the plugins that the test chooses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import copy_context
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rolehost import failpoints
from rolehost.api import AnyEvent, Job, Role, Schedule, UnitOfWork
from rolehost.api.contributions import ROLES
from rolehost.composition import Composition, compose
from rolehost.delivery import deadletters, envelope
from rolehost.delivery.deadletters import DeadLetter
from rolehost.delivery.guard import current
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.ticks import Ticker
from rolehost.delivery.work import new_id
from rolehost.deployment import Deployment, load
from rolehost.errors import RolehostError
from rolehost.services import ProcessServices
from rolehost.services.runtime import runtime_path
from rolehost.storage import Record
from rolehost.suggest import did_you_mean

from rolehost_testing.kit.absence import absent
from rolehost_testing.kit.assertions import Assertions
from rolehost_testing.kit.client import Asgi, Client, Loop, Response
from rolehost_testing.kit.clock import Clock
from rolehost_testing.kit.deploying import deployment, in_memory
from rolehost_testing.kit.driving import MOST, Driving, Endless
from rolehost_testing.kit.failing import FailAt
from rolehost_testing.kit.processes import Processes
from rolehost_testing.kit.ran import Drained
from rolehost_testing.kit.selecting import present, selected
from rolehost_testing.kit.world import Sections, World

if TYPE_CHECKING:
    from click.testing import Result
    from rolehost.roles.http.application import Application

Mode = Literal["manual", "inline"]


class HostDown(RolehostError):
    """A failpoint killed the host; :meth:`Host.restart` starts it again."""


class Host(Assertions):
    """A host with chosen plugins; created by the fixture ``host`` or :func:`open_host`.

    It runs the code of a real deployment: the same composition, delivery code and HTTP
    application. But it has no operating system processes and no threads. Everything runs in the
    thread of the test when the test asks for it. Only the test, and retries of failed handlers,
    advance the clock. The host still has one simulated process per role, with separate services,
    started on first use.

    Args:
        plugins: see :func:`rolehost_testing.kit.selecting.selected`; or a deployment.
        settings: section → keys and values, of plugins and of the host.
        world: the clock, the random sources and the storage.
        mode: ``manual``: jobs and events wait for :meth:`drain`. ``inline``: due jobs and events
            run after the commit of the unit of work that enqueued or published them.
        name: name of the deployment.
        roles: the roles of which the host has processes.
        without: dotted names of modules. While the host is open, importing one of them raises
            :class:`ModuleNotFoundError`.

    Raises:
        ConfigurationError: settings or plugins are wrong; contains every error.
        StartError: a plugin's ``rolehost_start`` raised.
    """

    def __init__(
        self,
        plugins: Iterable[Any] | Mapping[str, Any] | Path | Deployment,
        settings: Sections,
        world: World,
        mode: Mode,
        name: str,
        roles: Collection[Role] | None,
        without: tuple[str, ...],
    ) -> None:
        if mode not in ("manual", "inline"):
            raise ValueError(f"mode {mode!r} is neither 'manual' nor 'inline'")
        unknown = sorted(set(roles or ()).difference(ROLES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no role; there are {', '.join(ROLES)}")
        self._world = world
        self._mode = mode
        self._roles = frozenset(ROLES if roles is None else roles)
        self._down = False
        self._draining = False
        self._inline = Drained()
        self._application: Application | None = None
        self._left = ExitStack()
        try:
            if without:
                self._left.enter_context(absent(*without))
            deployed, extra = self._deployed(plugins, settings, world, name)
            self.composition: Composition = compose(deployed, extra=extra, found=present())
            self._processes = Processes(self, self.composition, world, self._woken)
            self._start()
        except BaseException:
            self._left.close()
            raise

    # --- properties -------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The clock, random sources and storage, shared with hosts opened ``beside`` this one."""
        return self._world

    @property
    def clock(self) -> Clock:
        """The clock of this host and of all hosts in its world."""
        return self._world.clock

    @property
    def services(self) -> ProcessServices:
        """The services of the process with the role ``command``, which the test uses.

        Access binds the plugins' models to this host's database.
        """
        self._processes.bind("command")
        return self._processes.services("command")

    def unit_of_work(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work, as plugin code does."""
        return self.services.unit_of_work()

    # --- input ------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Client:
        """The client for HTTP requests to the host's routes."""
        loop = Loop()
        self._left.callback(loop.close)
        return Client(self._asgi, self._around, loop)

    def publish(self, event: AnyEvent | Record) -> str:
        """Publish an event to the stream, as another service does; return the event's id.

        The next :meth:`drain` handles it. A :class:`~rolehost.api.Record` is published
        unchanged, so that a test can send records that cannot be decoded.
        """
        services = self.services
        event_id = ""
        if not isinstance(event, Record):
            now = self.clock.now()
            event_id = event.id or new_id(now, services.random.getrandbits(74))
            event = envelope.to_record(event, event_id=event_id, source="/test", now=now)
        services.stream.publish([event])
        self._woken(())
        return event_id

    def tick(self, schedule: Schedule | str) -> Job:
        """Enqueue the job of a schedule now, independent of the clock.

        Raises:
            LookupError: no enabled plugin has a schedule of this name.
        """
        name = schedule if isinstance(schedule, str) else schedule.name
        known = {owned.value.name: owned.value for owned in self.composition.schedules}
        if name not in known:
            raise LookupError(_none("schedule", name, known))
        return self.services.enqueue(known[name].actor, **known[name].arguments)

    def replay(self, letter: DeadLetter | str) -> None:
        """Replay a dead letter, like ``rolehost dead replay``; it runs in the next drain.

        Args:
            letter: an item of :attr:`dead`, or its id, for example ``job:1``.

        Raises:
            LookupError: there is no such dead letter.
        """
        name = letter if isinstance(letter, str) else letter.id
        kind, number = name.partition(":")[::2]
        services = self.services
        if kind == "message":
            found = deadletters.replay_message(services.queue, int(number))
        else:
            with unit_of_work(services.delivery) as work:
                woken = deadletters.replay(work.transaction, name, self.clock.now())
                found = woken is not None
                work.wake(woken or "")
        if not found:
            raise LookupError(f"there is no dead letter {name}")
        self._woken(())

    def check(self, name: str) -> str | None:
        """Run a health check; return its text. Exceptions of the check propagate.

        Raises:
            LookupError: no enabled plugin has a check of this name.
        """
        known = {owned.value.name: owned.value for owned in self.composition.checks}
        if name not in known:
            raise LookupError(_none("check", name, known))
        with self._processes.within("http") as services:
            return known[name].fn(services)

    def invoke(self, line: str | list[str]) -> Result:
        """Run a command of a plugin, for example ``"shop-report --since 2026"``.

        Returns:
            The result from click, with ``exit_code`` and ``output``.

        Raises:
            LookupError: no enabled plugin contributes the command.
        """
        from rolehost_testing.kit.commands import invoke

        with self._processes.within("command") as services:
            return invoke(self.composition, services, line)

    # --- execution --------------------------------------------------------------------------

    def drain(self, *, with_delays: bool = False, raises: bool = True) -> Drained:
        """Run all due ticks, events and jobs, and those that they cause, until nothing is due.

        Args:
            with_delays: also advance the clock to the due times of delayed and failed jobs,
                until no job waits.
            raises: at the end, raise the exceptions of jobs and handlers whose last attempt in
                this drain failed. If False, the test checks the outcomes itself.

        Returns:
            The jobs, events and messages that ran, in order. Failed handlers are retried at
            once, as often as their policy allows; each retry advances the clock by its delay.

        Raises:
            HostDown: the host was killed.
            Endless: the drain does not end.
            Exception: a job or handler failed; an :class:`ExceptionGroup` if several did.
        """
        ran = self._taken()
        with self._driving() as driving:
            driving.run(ran)
            while with_delays and (due := driving.next_job()) is not None:
                if len(ran) > MOST:
                    raise Endless(f"{MOST} things ran, and a job still waits for its time")
                self.clock.move_to(due)
                driving.run(ran)
        return self._judged(ran, raises)

    def advance(self, seconds: float, *, raises: bool = True) -> Drained:
        """Advance the clock, and run schedules and delayed jobs at their due times.

        ``clock.advance()`` runs nothing, so each schedule has missed ticks to catch up on later.

        Args:
            seconds: how far to advance the clock.
            raises: see :meth:`drain`.
        """
        end = self.clock.now() + round(seconds * 1000)
        ran = self._taken()
        with self._driving() as driving:
            driving.run(ran)
            while True:
                dues = [driving.next_job(), driving.next_tick()]
                due = min((each for each in dues if each is not None), default=end + 1)
                if due > end:
                    break
                self.clock.move_to(due)
                driving.run(ran)
            self.clock.move_to(end)
            driving.run(ran)
        return self._judged(ran, raises)

    @property
    def ran(self) -> Drained:
        """The jobs, events and messages that ran inline since the last access.

        If a job or handler failed inline and the test does not read this afterwards, the test
        fails at its end.
        """
        return self._taken()

    # --- failures ---------------------------------------------------------------------------

    def fail_at(
        self,
        point: str,
        *,
        kill: bool = False,
        error: BaseException | type[BaseException] | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> FailAt:
        """Return a context manager in which the host fails at a failpoint.

        Args:
            point: one of :data:`rolehost.failpoints.NAMES`.
            kill: kill the host there, as with SIGKILL. This ends the block; the host is down.
            error: raise this exception there instead; the host handles it.
            times: how often to fail; None means every time the failpoint is reached.
            after: how often to pass the failpoint before the first failure.

        Raises:
            AssertionError: at the end of the block, if the failpoint did not fail.
            UnknownFailpoint: at the start of the block, if there is no such failpoint.
            ValueError: both or neither of ``kill`` and ``error`` are given.
        """
        if kill == (error is not None):
            raise ValueError("give either kill=True or error=…")
        return FailAt(self, point, error, times, after, self._crash)

    def restart(self) -> None:
        """Stop the host unless it was killed, and start it again with its durable data.

        Jobs and leases of killed processes are released, as the sweep of a new process does.
        Data that was only in the memory of a process is lost.
        """
        self._close_application()
        self._processes.stop(all_of_them=False)
        dead = self._processes.expire()
        if dead and "database" in self.composition.backends:
            with self._processes.within("command") as services:
                marks = ", ".join("?" * len(dead))
                # End the leases now: on one machine, processes notice a death at once.
                with services.database.transaction() as tx:
                    tx.execute(
                        f"UPDATE rolehost_processes SET expires_at = 0 WHERE id IN ({marks})", dead
                    )
        self._down = False

    def close(self) -> None:
        """Stop the host: run its drain and stop hooks, close everything. Idempotent."""
        self._left.close()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- implementation ---------------------------------------------------------------------

    @staticmethod
    def _deployed(
        plugins: Any, settings: Sections, world: World, name: str
    ) -> tuple[Deployment, dict[str, Any]]:
        """Return the deployment, and the plugin objects that are given in code."""
        backends, extra = world.plugins()
        if isinstance(plugins, Path | Deployment):
            if settings or backends != ("memory",):
                raise ValueError(
                    "give neither settings nor backends with a deployment: it has its own settings,"
                    " and its storage is in memory in tests"
                )
            deployed = plugins if isinstance(plugins, Deployment) else load(plugins)
            return in_memory(deployed), extra
        names, given = selected(plugins)
        enabled = tuple(dict.fromkeys((*backends, *names)))
        deployed = deployment(name, enabled, world.settings(settings), world.folder)
        return deployed, {**extra, **given}

    def _start(self) -> None:
        self._world.prepare(self.composition, self._database)
        self._left.callback(
            shutil.rmtree, runtime_path(self.composition.deployment), ignore_errors=True
        )
        self._left.callback(self._processes.stop, all_of_them=True)
        services = self._processes.services("command")
        # Open a session for the test, so that it can use models directly.
        self._left.enter_context(self._processes.session(services))
        self._left.callback(self._close_application)
        if self.composition.schedules:
            # A new schedule starts when a scheduler first sees it: now.
            started = self._processes.of("command").composition
            schedules = [owned.value for owned in started.schedules]
            Ticker(services.delivery, schedules, "", 0.0).step()

    def _database(self) -> Any:
        return self._processes.services("command").database

    def _asgi(self) -> Asgi:
        if self._application is None:
            from rolehost.roles.http.application import build

            process = self._processes.of("http")
            composition, services = process.composition, process.services
            self._application = build(composition, services, services.recorders)
        return self._application.asgi

    def _around(self, send: Callable[[], Response]) -> Response:
        self._alive()
        if "http" not in self._roles:
            raise RuntimeError("this host has no process of the role http: see roles=…")
        try:
            with self._processes.within("http"):
                return send()
        except failpoints.Crash:
            self._crash()
            raise

    @contextmanager
    def _driving(self) -> Iterator[Driving]:
        self._alive()
        if self._draining:
            raise RuntimeError(
                "drain() was called within a drain, which runs the resulting work anyway"
            )
        self._draining = True
        try:
            with Driving(self._processes, self._world, self._roles) as driving:
                yield driving
        except failpoints.Crash:
            self._crash()
            raise
        finally:
            self._draining = False

    def _woken(self, names: Collection[str]) -> None:
        """After a commit in inline mode, run due work, unless a drain is in progress."""
        del names
        if self._mode == "inline" and not self._draining and not self._down:
            copy_context().run(self._run_inline)

    def _run_inline(self) -> None:
        # The committed unit of work is finished; work that runs now is not part of it.
        current.set(None)
        with self._driving() as driving:
            driving.run(self._inline)

    def _taken(self) -> Drained:
        taken, self._inline = self._inline, Drained()
        return taken

    @staticmethod
    def _judged(ran: Drained, raises: bool) -> Drained:
        if raises:
            ran.raise_failures()
        return ran

    def _alive(self) -> None:
        if self._down:
            raise HostDown("the host was killed at a failpoint; host.restart() starts it again")

    def _crash(self) -> None:
        self._down = True
        self._close_application()
        self._processes.crash()

    def _close_application(self) -> None:
        if self._application is not None:
            self._application.close()
            self._application = None


def _none(what: str, name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known) or f"there are {', '.join(sorted(known)) or 'none'}"
    return f"no enabled plugin has a {what} {name!r}; {hint}"
