"""What every process does besides its role: presence, sweep and relay, a thread for each."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable

import structlog

from rolehost.composition.manifest import describe
from rolehost.composition.model import Composition
from rolehost.delivery import leases, sweep
from rolehost.delivery.guard import Guard
from rolehost.delivery.leases import Identity, Presence, Pulse
from rolehost.delivery.relay import Relay
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.deployment.model import LogSettings
from rolehost.errors import StorageUnavailable
from rolehost.roles.beats import Beats
from rolehost.roles.outages import Outage
from rolehost.services import ProcessServices, manifests
from rolehost.storage import Listener, Stream

log = structlog.get_logger(__name__)

_PYTHON = platform.python_version()

#: Gives the state of a process and what it has in flight.
Vitals = Callable[[], tuple[str, int | None]]


class Upkeep:
    """The threads of one process's upkeep."""

    def __init__(self, loops: list[Loop], caretaker: Caretaker | None = None) -> None:
        self._loops = loops
        self._caretaker = caretaker

    @classmethod
    def of(
        cls,
        composition: Composition,
        services: ProcessServices,
        me: Identity,
        vitals: Vitals,
        beats: Beats,
    ) -> Upkeep:
        """Choose what a process has to keep up; without a database, nothing."""
        if "database" not in composition.backends:
            return cls([])
        stream = services.stream if "stream" in composition.backends else None
        caretaker = Caretaker(composition, services.delivery, me, stream, vitals)
        loops: list[Loop] = [caretaker]
        if services.delivery.guard.single_writer:
            loops.append(WriteWatch(services.delivery.guard, composition.deployment.host.log))
        if stream is not None and composition.publishes:
            listener = (
                services.queue.listen(["outbox", "leases"])
                if "queue" in composition.backends
                else None
            )
            # A process of the role http is watched by its master, which hears of no relay.
            own = beats if me.role != "http" else Beats()
            loops.append(RelayLoop(services.delivery, stream, me, listener, own))
        return cls(loops, caretaker)

    def start(self) -> None:
        """Announce presence, hand back what a predecessor held, and start the threads.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        for loop in self._loops:
            loop.begin()
        for loop in self._loops:
            loop.start()

    def tell(self) -> None:
        """Renew the presence soon, for the process has another state."""
        if self._caretaker is not None:
            self._caretaker.nudge()

    def stop(self) -> None:
        """End the threads, then give up presence and leases. Idempotent."""
        for loop in reversed(self._loops):
            loop.end()
        self._loops = []


class Loop:
    """A thread that repeats a step; an outage of storage is waited out, never ends it."""

    name: str

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def begin(self) -> None:
        """Do what must be done before any thread runs."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread and wait for it."""
        self.stopping.set()
        self.interrupt()
        if self._thread.is_alive():
            self._thread.join()

    def interrupt(self) -> None:
        """Wake the thread from its wait."""

    def step(self) -> None:
        """Do one round and wait for the next."""
        raise NotImplementedError

    def _run(self) -> None:
        outage = Outage(loop=self.name)
        while not self.stopping.is_set():
            try:
                self.step()
                outage.passed()
            except StorageUnavailable as error:
                outage.failed(error)
                self.stopping.wait(1.0)
            except Exception:
                log.exception("loop failed, going on", loop=self.name)
                self.stopping.wait(1.0)


class Caretaker(Loop):
    """Renews presence, and sweeps when the lease for it is ours."""

    name = "caretaker"

    def __init__(
        self,
        composition: Composition,
        runtime: DeliveryRuntime,
        me: Identity,
        stream: Stream | None,
        vitals: Vitals,
    ) -> None:
        super().__init__()
        self._runtime = runtime
        self._me = me
        self._stream = stream
        self._vitals = vitals
        self._manifest = describe(composition)
        self._nudged = threading.Event()
        self._presence = Presence(runtime.database, runtime.clock, runtime.policy.lease)
        settings = composition.deployment.host.scheduler
        self._every: list[tuple[float, Callable[[], object]]] = [
            (runtime.policy.heartbeat, self._renew),
            (settings.sweep, self._sweep),
            (settings.retention, self._retain),
        ]
        self._due = [0.0, settings.sweep, settings.retention]

    def begin(self) -> None:
        """Announce presence and hand back at once what a dead predecessor held."""
        runtime = self._runtime
        manifests.keep(runtime.database, self._manifest, runtime.clock.now())
        self._renew()
        sweep.release_dead(self._runtime)
        self._due[0] = self._now() + self._runtime.policy.heartbeat

    def step(self) -> None:
        """Do what is due, then wait for the next."""
        now = self._now()
        for index, (seconds, act) in enumerate(self._every):
            if now >= self._due[index]:
                self._due[index] = now + seconds
                act()
        if self._nudged.wait(max(0.01, min(self._due) - self._now())):
            self._nudged.clear()
            if not self.stopping.is_set():
                self._renew()

    def nudge(self) -> None:
        """Renew the presence soon."""
        self._nudged.set()

    def interrupt(self) -> None:
        """Wake the thread from its wait."""
        self._nudged.set()

    def end(self) -> None:
        """Stop, and take the presence away so that nothing waits for it to expire."""
        super().end()
        try:
            with self._runtime.database.session(), self._runtime.database.transaction() as tx:
                self._runtime.ledger.hand_back(tx, self._me.id)
            self._presence.leave(self._me)
        except Exception as error:  # the end of a process must not hide why it ends
            log.warning("presence not given up, it will expire", error=str(error))

    def _now(self) -> float:
        return self._runtime.clock.now() / 1000

    def _renew(self) -> None:
        manifest = self._manifest
        pulse = Pulse(manifest.hash, manifest.version, _PYTHON, *self._vitals())
        self._presence.renew(self._me, pulse)

    def _leads(self) -> bool:
        runtime = self._runtime
        ttl = runtime.policy.lease
        return (
            leases.acquire(runtime.database, runtime.clock, "sweep", self._me.id, ttl) is not None
        )

    def _sweep(self) -> None:
        if self._leads():
            sweep.release_dead(self._runtime)

    def _retain(self) -> None:
        if self._leads():
            sweep.retain(self._runtime)
            manifests.let_go(self._runtime.database, self._runtime.clock.now())
            if self._stream is not None:
                self._stream.trim()


class WriteWatch(Loop):
    """Reports transactions that hold the write lock of the database for long, each one once."""

    name = "write-watch"

    def __init__(self, guard: Guard, settings: LogSettings) -> None:
        super().__init__()
        self._guard = guard
        self._seconds = settings.long_write

    def step(self) -> None:
        """Look once, and wait for the next look."""
        for write in self._guard.long_writes(self._seconds):
            log.warning(
                "a transaction has held the write lock for long: nothing else can write; write"
                " last, after what takes long",
                seconds=self._seconds,
                **write.holder(),
            )
        self.stopping.wait(self._seconds / 4)


class RelayLoop(Loop):
    """Takes events from the outbox to the stream as soon as they are committed."""

    name = "relay"

    def __init__(
        self,
        runtime: DeliveryRuntime,
        stream: Stream,
        me: Identity,
        listener: Listener | None,
        beats: Beats,
    ) -> None:
        super().__init__()
        self._beats = beats
        self._relay = Relay(runtime, stream, me.id)
        self._listener = listener
        self._poll = min(runtime.policy.poll, beats.every)

    def step(self) -> None:
        """Relay one batch; wait for a wake-up when there is no more."""
        self._beats.beat("the relay of the outbox")
        self._relay.step()
        wait = self._relay.rest(self._poll)
        if self._listener is None:
            self.stopping.wait(wait)
        elif "leases" in self._listener.wait(wait):
            self._relay.try_leases()

    def interrupt(self) -> None:
        """Wake the thread from its wait."""
        if self._listener is not None:
            self._listener.interrupt()

    def end(self) -> None:
        """Stop, and close the listener."""
        super().end()
        if self._listener is not None:
            self._listener.close()
