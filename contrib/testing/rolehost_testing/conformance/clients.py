"""Shared parts of the suites: clients, threads and processes of a backend under test."""

from __future__ import annotations

import inspect
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import pytest

#: Seconds to wait for something that must happen before the test fails.
PATIENCE = 20.0

B = TypeVar("B")


class BackendSuite(Generic[B]):
    """Base class of all suites; see :mod:`rolehost_testing.conformance` for the usage.

    Attributes:
        one_process: whether the backend is in the memory of one process. Tests with several
            processes are skipped then.
    """

    one_process = False

    @pytest.fixture(autouse=True)
    def _several_processes(self, request: pytest.FixtureRequest) -> None:
        # A test that starts processes requests make_backend, to make clients there.
        if self.one_process and "make_backend" in inspect.signature(request.function).parameters:
            pytest.skip("this backend lives in one process")

    @pytest.fixture
    def make_backend(self) -> Callable[[], B]:
        """Return a function that makes a client. Every subclass overrides this fixture."""
        raise NotImplementedError(f"{type(self).__name__} must override the make_backend fixture")

    @pytest.fixture
    def open_client(self, make_backend: Callable[[], B]) -> Iterator[Callable[[], B]]:
        """A function that makes another client; all are closed after the test."""
        clients: list[Any] = []

        def another() -> B:
            client = make_backend()
            clients.append(client)
            return client

        yield another
        for client in reversed(clients):
            client.close()

    @pytest.fixture
    def backend(self, open_client: Callable[[], B]) -> B:
        """The client that most tests use."""
        return open_client()


def need(backend: Any, *capabilities: str) -> None:
    """Skip the test unless the backend declares these capabilities."""
    missing = sorted(set(capabilities) - backend.capabilities)
    if missing:
        pytest.skip(f"{type(backend).__name__} does not declare {', '.join(missing)}")


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Call ``work`` with 0, 1, … in concurrent threads; raise the exceptions of the threads."""
    failures: list[BaseException] = []
    together = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            together.wait(PATIENCE)
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Child:
    """Another process, with a channel to it."""

    def __init__(self, process: Any, channel: Connection) -> None:
        self._process = process
        self._channel = channel

    def receive(self) -> Any:
        """Return the next value that the process sends.

        Raises:
            AssertionError: the process sent nothing in time, or ended.
        """
        if not self._channel.poll(PATIENCE):
            raise AssertionError("the other process sent nothing")
        try:
            return self._channel.recv()
        except EOFError:
            raise AssertionError("the other process ended") from None

    def receive_all(self) -> list[Any]:
        """Return all values that the process sends until it ends.

        Raises:
            AssertionError: the process sent nothing in time and did not end.
        """
        received = []
        while self._channel.poll(PATIENCE):
            try:
                received.append(self._channel.recv())
            except (EOFError, ConnectionResetError):
                return received
        raise AssertionError("the other process sent nothing, and did not end")

    def exit_code(self) -> int:
        """Wait for the end; return the exit status, or the negative signal number."""
        self._process.join(PATIENCE)
        code: int = self._process.exitcode
        return code

    def send(self, value: Any) -> None:
        """Send a value to the process."""
        self._channel.send(value)

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.join(PATIENCE)

    def finish(self) -> None:
        """Wait for the end of the process, and check that it did not fail."""
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0, f"the other process: exit code {self._process.exitcode}"


@contextmanager
def process(work: Callable[..., None], *args: Any) -> Iterator[Child]:
    """Run ``work(channel, *args)`` in a new interpreter; kill it at the end if it still runs.

    Args:
        work: a module-level function.
        args: arguments that can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs, *args), daemon=True)
    child.start()
    theirs.close()
    try:
        yield Child(child, ours)
    finally:
        child.kill()
        child.join(PATIENCE)
        child.close()
        ours.close()
