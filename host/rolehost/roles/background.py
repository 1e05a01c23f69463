"""The background loops of every process: maintenance, long writes and the relay of the outbox."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Collection

import structlog

from rolehost.composition.manifest import describe
from rolehost.composition.model import Composition
from rolehost.delivery import leases, sweep
from rolehost.delivery.clock import DatabaseClock
from rolehost.delivery.guard import Guard
from rolehost.delivery.leases import Identity, Presence, Pulse
from rolehost.delivery.relay import Relay
from rolehost.delivery.retention import Retention
from rolehost.delivery.runtime import DeliveryRuntime
from rolehost.deployment.model import LogSettings
from rolehost.roles.beats import Beats
from rolehost.roles.loops import Loop
from rolehost.services import ProcessServices, manifests
from rolehost.storage import Listener, Stream

log = structlog.get_logger(__name__)

#: Returns the state of a process, and the number of jobs, events or requests in flight.
Vitals = Callable[[], tuple[str, int | None]]


class PollingListener(Listener):
    """The listener of a process without a queue: it gets no wake-ups, so its owner polls."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def wait(self, timeout: float) -> frozenset[str]:
        """Wait for ``timeout`` seconds, or until :meth:`interrupt` is called."""
        self._interrupted.wait(timeout)
        self._interrupted.clear()
        return frozenset()

    def interrupt(self) -> None:
        """Make the running :meth:`wait`, or else the next one, return at once."""
        self._interrupted.set()

    def close(self) -> None:
        """Nothing to close."""


#: Seconds between sweeps for leases of dead processes, and between removals of rows that are
#: older than the retention settings.
SWEEP_SECONDS, RETENTION_SECONDS = 5.0, 300.0

#: The check of all claims takes at most 1/20 of the time, the slices of the retention 1/4.
_CHECK_PART, _RETENTION_PART = 20, 4


class _MaintenanceLoop(Loop):
    """Renews the presence row (heartbeat), the sign that this process lives.

    One process, the leader, also hands back the work of dead processes (sweep) and applies
    retention. Each heartbeat first measures the database's clock. If that clock was set, or another
    server took over, other processes may still use the earlier time, and look dead to this process
    until their next heartbeat. So this process releases no work of others for the time of a lease.
    """

    def __init__(
        self,
        composition: Composition,
        runtime: DeliveryRuntime,
        identity: Identity,
        stream: Stream | None,
        vitals: Vitals,
    ) -> None:
        super().__init__("maintenance")
        self._runtime = runtime
        self._identity = identity
        self._stream = stream
        self._vitals = vitals
        self._manifest = describe(composition)
        self._presence = Presence(runtime.database, runtime.clock, runtime.policy.lease)
        self._renew_now = threading.Event()
        self._every: dict[Callable[[], None], float] = {
            self._renew: runtime.policy.heartbeat,
            self._sweep: SWEEP_SECONDS,
            self._check_claims: SWEEP_SECONDS,
            self._apply_retention: RETENTION_SECONDS,
        }
        self._due = dict.fromkeys(self._every, 0.0)
        self._retention = Retention(runtime)
        self._expiring = False

    def start(self) -> None:
        """Write the presence row, release the work of dead processes, then start the thread."""
        manifests.store(self._runtime.database, self._manifest, self._runtime.clock.now())
        self._renew()
        sweep.release_dead(self._runtime)
        self._due[self._renew] = time.monotonic() + self._runtime.policy.heartbeat
        super().start()

    def step(self) -> None:
        now = time.monotonic()
        for act, seconds in self._every.items():
            if now >= self._due[act]:
                self._due[act] = now + seconds
                act()
        if self._renew_now.wait(max(0.01, min(self._due.values()) - time.monotonic())):
            self._renew_now.clear()
            if not self.stopping.is_set():
                self._renew()

    def interrupt(self) -> None:
        """Wake the thread, which then renews the presence row, unless the loop stops."""
        self._renew_now.set()

    def stop(self) -> None:
        """Stop, hand back claimed jobs, and delete the presence row before it expires."""
        super().stop()
        try:
            with self._runtime.database.session(), self._runtime.database.transaction() as tx:
                self._runtime.ledger.hand_back(tx, self._identity.id)
            self._presence.remove(self._identity)
        except Exception as error:  # it must not hide the error that ends the process
            log.warning("the presence row was not deleted, it will expire", error=str(error))

    def _renew(self) -> None:
        clock, policy = self._runtime.clock, self._runtime.policy
        step = clock.measure() if isinstance(clock, DatabaseClock) else 0.0
        if abs(step) > policy.heartbeat:
            for judge in (self._sweep, self._check_claims):
                self._due[judge] = time.monotonic() + policy.lease
            if step < 0:
                sweep.rewind_limits(self._runtime)
        manifest, python = self._manifest, platform.python_version()
        pulse = Pulse(manifest.hash, manifest.version, python, *self._vitals())
        self._presence.renew(self._identity, pulse)

    def _leads(self, lease: str = "sweep") -> bool:
        database, clock = self._runtime.database, self._runtime.clock
        ttl = self._runtime.policy.lease
        return leases.acquire(database, clock, lease, self._identity.id, ttl)

    def _sweep(self) -> None:
        if self._leads():
            sweep.release_expired(self._runtime)
            sweep.end_expired(self._runtime)

    def _check_claims(self) -> None:
        began = time.monotonic()
        if self._leads():
            sweep.release_dead(self._runtime)
        # A separate lease, because a process of a version without limits may lead the sweep.
        if self._leads("limits"):
            sweep.recount_limits(self._runtime)
        pause = _CHECK_PART * (time.monotonic() - began)
        self._due[self._check_claims] = max(self._due[self._check_claims], began + pause)

    def _apply_retention(self) -> None:
        """Delete one slice of expired rows; the next one follows after a short pause."""
        if not self._expiring:
            if not self._leads():
                return
            manifests.delete_expired(self._runtime.database, self._runtime.clock.now())
            if self._stream is not None:
                self._stream.trim()
        began = time.monotonic()
        _, self._expiring = self._retention.step()
        if self._expiring:
            self._due[self._apply_retention] = began + _RETENTION_PART * (time.monotonic() - began)


class LongWriteLoop(Loop):
    """Logs each transaction that holds the write lock of the database for a long time, once."""

    def __init__(self, guard: Guard, settings: LogSettings) -> None:
        super().__init__("long-writes")
        self._guard = guard
        self._seconds = settings.long_write

    def step(self) -> None:
        """Check once, and wait for the next check."""
        for write in self._guard.long_writes(self._seconds):
            log.warning(
                "a transaction has held the write lock for a long time and blocks all other"
                " writers; do slow work before the first write",
                seconds=self._seconds,
                **write.holder(),
            )
        self.stopping.wait(self._seconds / 4)


class _RelayLoop(Loop):
    """Publishes events from the outbox to the stream as soon as they are committed."""

    def __init__(self, relay: Relay, listener: Listener, poll: float, beats: Beats) -> None:
        super().__init__("relay")
        self._relay = relay
        self._listener = listener
        self._poll = min(poll, beats.every)
        self._beats = beats

    def step(self) -> None:
        self._beats.beat("the relay of the outbox")
        self._relay.step()
        if "leases" in self._listener.wait(self._relay.wait_seconds(self._poll)):
            self._relay.try_leases()

    def interrupt(self) -> None:
        self._listener.interrupt()

    def stop(self) -> None:
        super().stop()
        self._listener.close()


def background_loops(
    composition: Composition,
    services: ProcessServices,
    identity: Identity,
    vitals: Vitals,
    beats: Beats,
    listen: Callable[[Collection[str]], Listener],
) -> list[Loop]:
    """Return the background loops of a process, maintenance first; none without a database."""
    if "database" not in composition.backends:
        return []
    runtime = services.delivery
    stream = services.stream if "stream" in composition.backends else None
    loops: list[Loop] = [_MaintenanceLoop(composition, runtime, identity, stream, vitals)]
    if runtime.guard.single_writer:
        loops.append(LongWriteLoop(runtime.guard, composition.deployment.host.log))
    if stream is not None and composition.publishes:
        relay = Relay(runtime, stream, identity.id)
        # gunicorn's master watches its workers by their event loops; it takes no other beats.
        if identity.role == "http":
            beats = Beats()
        loops.append(_RelayLoop(relay, listen(["outbox", "leases"]), runtime.policy.poll, beats))
    return loops
