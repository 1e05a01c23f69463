"""A delivery runtime on a real database, with a manual clock and a seeded random source.

The database is SQLite, and also PostgreSQL if rolehost-postgres is installed.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rolehost import schema
from rolehost.api import Actor, Database, Secret, StorageUnavailable
from rolehost.api.delivery import DeliverySettings
from rolehost.delivery import scopes
from rolehost.delivery.claims import Claims
from rolehost.delivery.jobs import ClaimedJob
from rolehost.delivery.runner import Runner
from rolehost.delivery.runtime import Declared, DeliveryRuntime
from rolehost.observe.recorders import Recorders
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.settings import EmbeddedSettings
from structlog.testing import capture_logs

from tests.delivery.things import Thing, plain


class ManualClock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000

    def now(self) -> int:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += int(seconds * 1000)


class Bench:
    """The objects that a test of the delivery contract needs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()
        self.woken: list[str] = []
        self.recorder = Recorders()
        self._claims: dict[tuple[int, str, str], Claims] = {}
        self.runtime = self.make_runtime()

    def make_runtime(
        self,
        *actors: Actor,
        publishes: tuple[str, ...] = ("things",),
        strict: bool = True,
        policy: DeliverySettings | None = None,
    ) -> DeliveryRuntime:
        self.runtime = DeliveryRuntime(
            database=self.database,
            wake=lambda names: self.woken.extend(sorted(names)),
            clock=self.clock,
            random=random.Random(7),
            source="/tests",
            declared=Declared(
                actors={each.name: each for each in actors},
                enqueues=frozenset(each.name for each in actors),
                publishes=frozenset(publishes),
                strict=strict,
            ),
            policy=policy or DeliverySettings(),
            recorder=self.recorder,
        )
        return self.runtime

    def unit_of_work(self, *, single: bool = False) -> scopes.unit_of_work:
        return scopes.unit_of_work(self.runtime, single=single)

    def claim(self, owner: str = "me", limit: int = 100) -> list[ClaimedJob]:
        return [job for run in self.claim_runs(owner, limit) for job in run]

    def claim_runs(
        self, owner: str = "me", limit: int = 100, queue: str = "default"
    ) -> list[list[ClaimedJob]]:
        with self.database.session(), self.database.transaction() as tx:
            claims = self.claims_of(owner, queue)
            return claims.claim(tx, limit, self.clock.now())

    def claims_of(self, owner: str, queue: str = "default") -> Claims:
        runtime = self.runtime
        actors = sorted(
            each.name for each in runtime.declared.actors.values() if each.queue == queue
        )
        return self._claims.setdefault(
            (id(runtime), owner, queue), Claims(runtime, queue, actors, owner)
        )

    def run(self, job: ClaimedJob, interrupts: tuple[type[BaseException], ...] = ()) -> str:
        """Run an attempt and store its result, as a worker does; return the job's state."""
        end = Runner(self.runtime, _services(self.runtime), interrupts).run(job)
        if not end.stored:
            with self.database.session(), self.database.transaction() as tx:
                self.runtime.ledger.finish(tx, job, end, self.clock.now())
        return str(self.job(job.id)["state"])

    def job(self, number: int) -> dict[str, Any]:
        with self.database.session():
            row = self.database.read(
                "SELECT state, attempt, crashes, suspect, run_at, error, owner"
                " FROM rolehost_jobs WHERE id = ?",
                (number,),
            )[0]
        names = ("state", "attempt", "crashes", "suspect", "run_at", "error", "owner")
        return dict(zip(names, row, strict=True))

    def count(self, table: str) -> int:
        with self.database.session():
            return int(self.database.read(f"SELECT count(*) FROM {table}")[0][0])

    @contextmanager
    def lost_host(self, *statements: str) -> Iterator[None]:
        """A process that ran these statements in a transaction, and is lost before its COMMIT."""
        holds, ends = threading.Event(), threading.Event()

        def run() -> None:
            with pytest.raises(RuntimeError), self.database.transaction() as tx:
                for statement in statements:
                    tx.execute(statement)
                holds.set()
                ends.wait()
                raise RuntimeError("rolls back")

        thread = threading.Thread(target=run)
        thread.start()
        holds.wait()
        try:
            yield
        finally:
            ends.set()
            thread.join()


class _Services:
    """The subset of the services that the actors of these tests use."""

    def __init__(self, runtime: DeliveryRuntime) -> None:
        self.unit_of_work = partial(scopes.unit_of_work, runtime)


def _services(runtime: DeliveryRuntime) -> Any:
    return _Services(runtime)


@pytest.fixture
def services_of() -> Callable[[DeliveryRuntime], Any]:
    return _services


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engine)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgresql":
        pytest.importorskip("rolehost_postgres", reason="needs rolehost-postgres")
        yield from _postgresql(request.getfixturevalue("postgres_url"))
        return
    database = EmbeddedDatabase(EmbeddedSettings(path=tmp_path / "service.db"))
    yield database
    database.close()


def _postgresql(url: str) -> Iterator[Database]:
    """Yield a database with a separate schema on a server."""
    from psycopg2.extensions import make_dsn
    from rolehost_postgres.database import PostgresDatabase
    from rolehost_postgres.settings import PostgresSettings

    schema_name = f"test_{uuid.uuid4().hex}"
    admin = PostgresDatabase(PostgresSettings(url=Secret(url)))
    with admin.transaction() as tx:
        tx.execute(f"CREATE SCHEMA {schema_name}")
    own = make_dsn(url, options=f"-c search_path={schema_name}")
    database = PostgresDatabase(PostgresSettings(url=Secret(own)))
    yield database
    database.close()
    with admin.transaction() as tx:
        tx.execute(f"DROP SCHEMA {schema_name} CASCADE")
    admin.close()


@pytest.fixture
def database_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which the backend fails as if its server were unreachable."""

    def away(*_: Any, **__: Any) -> Any:
        raise StorageUnavailable("the server cannot be reached")

    @contextmanager
    def block() -> Iterator[None]:
        # Below the subclasses with the rules of units of work: one of a backend, two of peewee.
        backend, peewee = type(database).__mro__[1], type(database.peewee).__mro__[2]
        with monkeypatch.context() as patched:
            patched.setattr(backend, "read", away)
            patched.setattr(peewee, "execute_sql", away)
            patched.setattr(peewee, "begin", away)
            yield

    return block


@pytest.fixture
def bench(database: Database) -> Bench:
    schema.up(database, [schema.HOST_SET])
    return Bench(database)


@pytest.fixture
def postgres(bench: Bench) -> Bench:
    """A bench on PostgreSQL, where a statement that waits for a lock fails after five seconds."""
    if bench.database.dialect == "sqlite":
        pytest.skip("a host that holds SQLite's write lock is this machine")
    return bench


@pytest.fixture
def things(bench):
    """Return a function that lists the things. Log lines are captured: tracebacks take seconds."""
    bench.make_runtime(plain)
    with bench.database.transaction() as tx:
        tx.execute("CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY)")

    def listed():
        with bench.database.session():
            return sorted(row[0] for row in bench.database.read("SELECT id FROM things"))

    with bench.database.peewee.bind_ctx([Thing]), capture_logs():
        yield listed
