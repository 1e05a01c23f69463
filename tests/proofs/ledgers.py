"""Ledgers with very many jobs, whose rows SQL writes, and the rate at which workers run them."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from rolehost_testing import services

from benchmarks.children import processor_seconds
from benchmarks.deployments import Place, migrate, place
from benchmarks.postgres import ACTORS, Program, Used, execute, workers
from tests.proofs.kit import Unavailable

#: Columns of a job that :meth:`Ledger.insert` writes unless it is given others, as SQL
#: expressions over the row's number ``i``. ``{bytes}`` is replaced.
_COLUMNS = {
    "queue": "'bench'",
    "actor": "'nothing'",
    "state": "'available'",
    "priority": "0",
    "run_at": "1700000000000",
    "arguments": "{bytes}",
    "enqueued_at": "1700000000000",
}
_BYTES = {
    "postgres": """convert_to('{"number":' || i || '}', 'UTF8')""",
    "sqlite": """CAST('{"number":' || i || '}' AS BLOB)""",
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """A deployment with a database of its own.

    Attributes:
        engine: ``postgres`` or ``sqlite``.
        where: URL or path of the database.
        made: the deployment.
    """

    engine: str
    where: str
    made: Place

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements, each in its own transaction; return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        if self.engine == "postgres":
            for sql in statements:
                rows = execute(self.where, sql)
            return rows
        with contextlib.closing(sqlite3.connect(self.where, isolation_level=None)) as connection:
            for sql in statements:
                rows = connection.execute(sql).fetchall()
        return rows

    def insert(self, count: int, **columns: str) -> None:
        """Insert jobs; ``columns`` are SQL expressions over ``i``, which counts from 1."""
        values = {**_COLUMNS, **columns}
        chosen = ", ".join(values.values()).replace("{bytes}", _BYTES[self.engine])
        self.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
            f" INSERT INTO rolehost_jobs ({', '.join(values)}) SELECT {chosen} FROM n"
        )

    def settle(self) -> None:
        """Do now what the engine would do at an arbitrary time: statistics, write-back."""
        if self.engine == "postgres":
            self.execute("VACUUM ANALYZE", "CHECKPOINT")
        else:
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)")


#: Makes a ledger; takes the target of the plugin with the actors.
Make = Callable[[str], AbstractContextManager[Ledger]]


@contextmanager
def ledgers(engine: str, **parameters: object) -> Iterator[Make]:
    """Give a function that makes ledgers during the block; PostgreSQL has these parameters.

    Raises:
        Unavailable: PostgreSQL is not installed.
    """
    numbers = itertools.count()
    with TemporaryDirectory(prefix="rolehost-proof-") as folder, contextlib.ExitStack() as stack:
        server = ""
        if engine == "postgres":
            try:
                started = services.start("postgres", parameters=parameters)
            except services.Missing as missing:
                raise Unavailable(str(missing)) from None
            server = stack.enter_context(started).url

        @contextmanager
        def make(plugin: str = ACTORS) -> Iterator[Ledger]:
            name = f"proof_{next(numbers)}"
            own = Path(folder, name)
            if engine == "sqlite":
                made = _deployed(own, plugin, "embedded", path=str(own / "ledger.db"))
                yield Ledger(engine, str(own / "ledger.db"), made)
                return
            url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
            execute(server, f"CREATE DATABASE {name}")
            yield Ledger(engine, url, _deployed(own, plugin, "postgres", url=url))
            execute(server, f"DROP DATABASE {name} WITH (FORCE)")

        yield make


def _deployed(folder: Path, plugin: str, engine: str, **settings: str) -> Place:
    made = place(
        folder,
        {"proof-actors": plugin},
        [engine],
        log={"level": "warning"},
        **{engine: settings},
    )
    migrate(made)
    return made


@dataclass(frozen=True, slots=True)
class Drained:
    """How workers ran jobs.

    Attributes:
        jobs: number of jobs that were run.
        seconds: from the start to the last of them.
        tenths: jobs per second in each tenth of the jobs; fewer if the time was over before.
        cost: µs of processor time for each job, in the processes and their sessions.
    """

    jobs: int
    seconds: float
    tenths: Sequence[float]
    cost: float

    @property
    def rate(self) -> float:
        """Jobs per second after the first tenth, in which the processes start."""
        done = len(self.tenths) - 1
        if done < 1:
            return self.jobs / self.seconds
        return done / sum(1 / each for each in self.tenths[1:])

    def shown(self) -> str:
        """Return the rates of the tenths as text, without a space."""
        return ",".join(f"{each:.0f}" for each in self.tenths)


def drain(ledger: Ledger, jobs: int, patience: float) -> Drained:
    """Run this number of the waiting jobs with two worker processes.

    Args:
        ledger: where they wait.
        jobs: number of jobs; the processes stop after it.
        patience: seconds after which the rest is not run.
    """
    program = Program("host_postgres", [], ["drain", str(ledger.made.file)])
    ends: list[float] = []
    with workers(program, ledger.made) as (tally, pids):
        used = Used(pids, ledger.where) if ledger.engine == "postgres" else None
        spent = sum(map(processor_seconds, pids))
        tally.begin()
        began = time.perf_counter()
        while len(ends) < 10 and time.perf_counter() - began < patience:
            time.sleep(0.002)  # other processes count in shared memory, which has no event
            now, done = time.perf_counter(), tally.total
            ends += [now] * (done * 10 // jobs - len(ends))
        seconds, done = time.perf_counter() - began, tally.total
        # The processes go on with other jobs meanwhile.
        if used is not None:
            cost = used.each(1)["total"] / max(tally.total, 1)
        else:
            cost = (sum(map(processor_seconds, pids)) - spent) / max(tally.total, 1) * 1e6
    times = [began, *ends[:10]]
    tenths = [jobs / 10 / max(after - before, 1e-3) for before, after in itertools.pairwise(times)]
    return Drained(done, seconds, tenths, cost)
