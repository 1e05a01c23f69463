"""Conformance suites for backends with a server, while that server stops and starts again.

The suites stop and start the server, so it must not be shared with other tests::

    @pytest.fixture(scope="module")
    def server(start_module_server):
        return start_module_server("redis")

    class TestMyCacheRestart(CacheRestartConformance):
        @pytest.fixture
        def make_backend(self, server):
            return partial(MyCache, MySettings(url=server.url))

The tests make their clients before the server stops and keep them. Backends without a server do
not need these suites.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import dramatiq
import peewee
import pytest
from rolehost.errors import StorageError, StorageUnavailable
from rolehost.storage import Cache, Database, Queue, Record, Stream

from rolehost_testing.conformance.clients import PATIENCE, B, BackendSuite, need
from rolehost_testing.conformance.queue import running
from rolehost_testing.conformance.stream import Reader
from rolehost_testing.services import Server

_TOPIC = "conformance"
_TABLE = "conformance_restart"
_STEP = 0.05

T = TypeVar("T")

ways = pytest.mark.parametrize("immediate", [False, True], ids=["in order", "at once"])


def until(done: Callable[[], T]) -> T:
    """Call until the result is true, and return it; ignore StorageUnavailable."""
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            if answer := done():
                return answer
        except StorageUnavailable:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it does not work again"
        time.sleep(_STEP)


def again(call: Callable[[], object]) -> None:
    """Repeat a call until it does not raise StorageUnavailable."""
    until(lambda: (call(), True)[1])


class _RestartSuite(BackendSuite[B]):
    @pytest.fixture
    def server(self) -> Server:
        """The running server of the backend, used only by these tests. Override it."""
        raise NotImplementedError(f"{type(self).__name__} must override the server fixture")

    @pytest.fixture(autouse=True)
    def _runs(self, server: Server) -> Iterator[None]:
        """Make sure that the server runs after each test."""
        yield
        if not server.running:
            server.run()


class DatabaseRestartConformance(_RestartSuite[Database]):
    """Subclass it and override ``make_backend`` and ``server``."""

    @pytest.fixture
    def backend(self, open_client: Callable[[], Database]) -> Iterator[Database]:
        """A client, with an empty table."""
        database = open_client()
        with database.session(), database.transaction() as transaction:
            transaction.execute(f"DROP TABLE IF EXISTS {_TABLE}")
            transaction.execute(f"CREATE TABLE {_TABLE} (id INTEGER PRIMARY KEY)")
        yield database

    @ways
    def test_the_same_client_works_again_and_committed_data_is_there(
        self, backend: Database, server: Server, immediate: bool
    ) -> None:
        _insert(backend, 1)
        server.stop(immediate)
        with pytest.raises(StorageUnavailable):
            _rows(backend)
        with pytest.raises(StorageUnavailable):
            _insert(backend, 2)
        with pytest.raises(StorageUnavailable):
            backend.ping()
        server.run()
        assert until(lambda: _rows(backend)) == [1]
        _insert(backend, 3)
        assert _rows(backend) == [1, 3]

    @ways
    def test_an_interrupted_transaction_raises_and_leaves_no_rows(
        self, backend: Database, server: Server, immediate: bool
    ) -> None:
        with backend.session():
            with pytest.raises((StorageError, peewee.DatabaseError)):
                with backend.transaction() as transaction:
                    transaction.execute(f"INSERT INTO {_TABLE} (id) VALUES (1)")
                    server.restart(immediate)
                    transaction.execute(f"INSERT INTO {_TABLE} (id) VALUES (2)")
            again(lambda: _insert(backend, 3))
            assert _rows(backend) == [3]

    def test_a_commit_that_does_not_arrive_is_an_error(
        self, backend: Database, server: Server
    ) -> None:
        with pytest.raises((StorageError, peewee.DatabaseError)):
            with backend.session(), backend.transaction() as transaction:
                transaction.execute(f"INSERT INTO {_TABLE} (id) VALUES (1)")
                server.restart(immediate=True)
        again(lambda: _insert(backend, 3))
        assert _rows(backend) == [3]

    def test_a_held_migration_lock_does_not_survive_its_server(
        self, backend: Database, open_client: Callable[[], Database], server: Server
    ) -> None:
        with pytest.raises((StorageError, peewee.DatabaseError)):
            with backend.session(), backend.migration_lock():
                server.restart(immediate=True)
                _insert(backend, 1)
                raise StorageUnavailable("held by a connection of its own")
        other = open_client()
        with other.session(), other.migration_lock():
            again(lambda: _insert(other, 2))


def _insert(database: Database, number: int) -> None:
    with database.session(), database.transaction() as transaction:
        transaction.execute(f"INSERT INTO {_TABLE} (id) VALUES (?)", (number,))


def _rows(database: Database) -> list[Any]:
    with database.session():
        return [row[0] for row in database.read(f"SELECT id FROM {_TABLE} ORDER BY id")]


class CacheRestartConformance(_RestartSuite[Cache]):
    """Subclass it and override ``make_backend`` and ``server``."""

    @ways
    def test_the_same_client_works_again(
        self, backend: Cache, server: Server, immediate: bool
    ) -> None:
        backend.set("key", b"before")
        server.stop(immediate)
        with pytest.raises(StorageUnavailable):
            backend.get("key")
        with pytest.raises(StorageUnavailable):
            backend.ping()
        server.run()
        again(lambda: backend.set("key", b"after"))
        assert backend.get("key") == b"after"
        assert backend.get_many(["key"]) == {"key": b"after"}

    def test_a_frozen_server_blocks_no_caller_and_counts_once(
        self, backend: Cache, server: Server
    ) -> None:
        need(backend, "atomic-incr")
        assert backend.incr("count") == 1
        server.freeze()
        try:
            with pytest.raises(StorageUnavailable):
                backend.incr("count")
        finally:
            server.thaw()
        # The server may have executed the call that timed out, but at most once.
        assert until(lambda: backend.incr("count")) in (2, 3)


class QueueRestartConformance(_RestartSuite[Queue]):
    """Subclass it and override ``make_backend`` and ``server``."""

    @ways
    def test_the_same_listener_is_woken_again(
        self, backend: Queue, open_client: Callable[[], Queue], server: Server, immediate: bool
    ) -> None:
        other, listener = open_client(), backend.listen({"queue:a"})
        server.restart(immediate)

        def woken() -> bool:
            other.wake(["queue:a"])
            return listener.wait(_STEP) == {"queue:a"}

        until(woken)
        again(lambda: backend.ping())

    def test_waking_while_the_server_is_unavailable_raises_nothing(
        self, backend: Queue, server: Server
    ) -> None:
        server.stop()
        backend.wake(["queue:a"])
        with pytest.raises(StorageUnavailable):
            backend.ping()
        server.run()
        again(lambda: backend.ping())

    @ways
    def test_the_same_broker_and_its_workers_go_on(
        self, backend: Queue, server: Server, immediate: bool
    ) -> None:
        need(backend, "ephemeral")
        with running(backend) as (actor, calls):
            actor.send("before")
            assert calls.get(timeout=PATIENCE) == ("before",)
            server.restart(immediate)
            until(lambda: _sent(actor, "after"))
            assert calls.get(timeout=2 * PATIENCE) == ("after",)


def _sent(actor: dramatiq.Actor[Any, Any], word: str) -> bool:
    try:
        actor.send(word)
    except dramatiq.errors.BrokerError:
        return False
    return True


class StreamRestartConformance(_RestartSuite[Stream]):
    """Subclass it and override ``make_backend`` and ``server``."""

    @ways
    def test_the_same_clients_go_on_and_keep_the_order_of_each_key(
        self,
        backend: Stream,
        open_client: Callable[[], Stream],
        server: Server,
        immediate: bool,
    ) -> None:
        reader = Reader(open_client())
        backend.publish(_records(0, 20))
        reader.read(20)
        again(lambda: reader.commit())
        server.restart(immediate)
        # A retry may publish records twice; consumers detect duplicates by the event's id.
        again(lambda: backend.publish(_records(20, 40)))
        wanted = {b"%d" % number for number in range(40)}
        until(lambda: reader.step() is not None and set(reader.values()) == wanted)
        for key in range(4):
            mine = [int(each) for each in reader.values() if int(each) % 4 == key]
            assert list(dict.fromkeys(mine)) == sorted(set(mine))
        again(lambda: reader.commit())
        until(lambda: backend.lag([_TOPIC], "group") == 0)

    def test_publishing_while_the_server_is_unavailable_is_an_error(
        self, backend: Stream, server: Server
    ) -> None:
        backend.publish(_records(0, 1))
        server.stop(immediate=True)
        with pytest.raises(StorageUnavailable):
            backend.publish(_records(1, 2))
        with pytest.raises(StorageUnavailable):
            backend.ping()
        server.run()
        again(lambda: backend.ping())


def _records(first: int, end: int) -> list[Record]:
    return [
        Record(topic=_TOPIC, value=b"%d" % number, key=b"key-%d" % (number % 4))
        for number in range(first, end)
    ]
