"""What the suites share: clients, threads and processes of a backend under test."""

from __future__ import annotations

import inspect
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import pytest

#: Seconds after which something that must happen is taken not to happen.
PATIENCE = 20.0

B = TypeVar("B")


class BackendSuite(Generic[B]):
    """Base of all suites; see :mod:`rolehost_testing.conformance` for how to use one.

    Attributes:
        one_process: the backend lives in the memory of one process, so that what takes several
            cannot be asked of it.
    """

    one_process = False

    @pytest.fixture(autouse=True)
    def _several_processes(self, request: pytest.FixtureRequest) -> None:
        # A test that starts processes is one that has the function to make clients there.
        if self.one_process and "make_backend" in inspect.signature(request.function).parameters:
            pytest.skip("this backend lives in one process")

    @pytest.fixture
    def make_backend(self) -> Callable[[], B]:
        """Return what makes a client. Every subclass overrides it."""
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
    """Skip the test when the backend does not declare these capabilities."""
    missing = sorted(set(capabilities) - backend.capabilities)
    if missing:
        pytest.skip(f"{type(backend).__name__} does not declare {', '.join(missing)}")


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run ``work`` in several threads at once, each with its number; raise what they raise."""
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
    """Another process, and the way to talk to it."""

    def __init__(self, process: Any, channel: Connection) -> None:
        self._process = process
        self._channel = channel

    def receive(self) -> Any:
        """Return the next thing it sends.

        Raises:
            AssertionError: it sent nothing for too long, or ended.
        """
        if not self._channel.poll(PATIENCE):
            raise AssertionError("the other process sent nothing")
        try:
            return self._channel.recv()
        except EOFError:
            raise AssertionError("the other process ended") from None

    def receive_all(self) -> list[Any]:
        """Return what it sends until it ends.

        Raises:
            AssertionError: it sent nothing for too long.
        """
        received = []
        while self._channel.poll(PATIENCE):
            try:
                received.append(self._channel.recv())
            except (EOFError, ConnectionResetError):
                return received
        raise AssertionError("the other process sent nothing, and did not end")

    def exit_code(self) -> int:
        """Wait until it ended; return its status, the negative signal when one ended it."""
        self._process.join(PATIENCE)
        code: int = self._process.exitcode
        return code

    def send(self, value: Any) -> None:
        """Send it something."""
        self._channel.send(value)

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.join(PATIENCE)

    def finish(self) -> None:
        """Wait until it ended by itself, without an error."""
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0, f"the other process: exit code {self._process.exitcode}"


@contextmanager
def process(work: Callable[..., None], *args: Any) -> Iterator[Child]:
    """Run ``work(channel, *args)`` in a new interpreter; killed at the end if still running.

    Args:
        work: a function of a module.
        args: what can be pickled.
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
