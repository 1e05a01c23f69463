"""The fixtures of Dramatiq's tests, with the ledger instead of the stub broker."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import Middleware
from dramatiq.rate_limits.backends import StubBackend as StubLimits
from dramatiq.results.backends import StubBackend as StubResults
from rolehost.api import PluginInfo, hookimpl
from rolehost.roles.worker.role import WorkerRole
from rolehost_dramatiq import DramatiqActors

from benchmarks.deployments import place
from benchmarks.programs.worker import started

#: Seconds for which a test waits for its jobs unless it says otherwise.
PATIENCE = 20.0


class Plugin:
    """Contributes the actors of the current test."""

    actors: DramatiqActors

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(api=2, enqueues=self.actors.names)

    @hookimpl
    def rolehost_actors(self) -> list[Any]:
        """Return the actors."""
        return list(self.actors.actors)

    @hookimpl
    def rolehost_start(self, context: Any) -> None:
        """Connect the actors."""
        self.actors.start(context)

    @hookimpl
    def rolehost_stop(self, context: Any) -> None:
        """Disconnect the actors."""
        self.actors.stop(context)


plugin = Plugin()


class DeadLetters(Middleware):
    """Keeps the messages that were given up."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def after_nack(self, broker: dramatiq.Broker, message: Any) -> None:
        """Keep a message."""
        del broker
        self.messages.append(message)


class LedgerOfTest(StubBroker):
    """Declares actors as the stub broker does. The first message starts a deployment with them."""

    def __init__(self) -> None:
        super().__init__()
        self._dead = DeadLetters()
        self.add_middleware(self._dead)
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._process: Any = None
        self._wants_worker = self._has_worker = False

    @property
    def dead_letters(self) -> list[Any]:
        """The messages that were given up."""
        return self._dead.messages

    def run_worker(self) -> Any:
        """Run jobs from now on; return what Dramatiq's tests use of a worker."""
        self._wants_worker = True
        if self._process is not None:
            self._start_worker()
        return self

    def enqueue(self, message: Any, *, delay: int | None = None) -> Any:
        """Start the deployment, and enqueue the message in it."""
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)
        self._start()
        return plugin.actors.broker.enqueue(message, delay=delay)

    def _start(self) -> None:
        with self._lock:
            if self._process is not None:
                return
            plugin.actors = DramatiqActors(*self.actors.values())
            folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
            made = place(
                folder / "made",
                {"dramatiq-suite": f"{__name__}:plugin"},
                ["embedded"],
                embedded={"path": str(folder / "rolehost.db")},
                log={"level": "error"},
            )
            sys.path.insert(0, str(made.folder / "site"))
            self._open.callback(sys.path.remove, str(made.folder / "site"))
            self._process = self._open.enter_context(started(made.file))
            if self._wants_worker:
                self._start_worker()

    def _start_worker(self) -> None:
        if not self._has_worker:
            self._has_worker = True
            role = WorkerRole(self._process)
            role.start()
            self._open.callback(role.stop)

    def join(  # type: ignore[override]
        self, queue_name: str = "", *, timeout: int | None = None, fail_fast: bool | None = None
    ) -> None:
        """Wait until no job of the queue is left."""
        if queue_name and queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        deadline = time.monotonic() + (timeout / 1000 if timeout else PATIENCE)
        while self._unfinished(queue_name):
            if time.monotonic() > deadline:
                raise QueueJoinTimeout(queue_name)
            time.sleep(0.005)  # the ledger has no event for it
        if (self.fail_fast_default if fail_fast is None else fail_fast) and queue_name:
            for message in self.dead_letters:
                raise message._exception or Exception("Message failed with unknown error")

    def _unfinished(self, queue_name: str) -> bool:
        if self._process is None:
            return False
        database = self._process.services.database
        with database.session():
            rows = database.read(
                "SELECT 1 FROM rolehost_jobs WHERE state NOT IN ('completed', 'cancelled', 'dead')"
                " AND (queue = ? OR ? = '') LIMIT 1",
                (queue_name, queue_name),
            )
        return bool(rows)

    def close(self) -> None:
        """Stop the deployment."""
        self._open.close()


class WorkerOfTest:
    """What Dramatiq's tests use of a worker."""

    def __init__(self, broker: LedgerOfTest) -> None:
        self._broker = broker

    def join(self) -> None:
        """Wait for the jobs of all queues."""
        self._broker.join(fail_fast=False)


@pytest.fixture
def stub_broker() -> Iterator[LedgerOfTest]:
    """The broker of a test."""
    broker = LedgerOfTest()
    dramatiq.set_broker(broker)
    yield broker
    broker.close()


@pytest.fixture
def stub_worker(stub_broker: LedgerOfTest) -> WorkerOfTest:
    """The worker of a test."""
    stub_broker.run_worker()
    return WorkerOfTest(stub_broker)


@pytest.fixture
def result_backend() -> StubResults:
    """A backend for results."""
    return StubResults()


@pytest.fixture
def rate_limiter_backend() -> StubLimits:
    """A backend for rate limiters."""
    return StubLimits()
