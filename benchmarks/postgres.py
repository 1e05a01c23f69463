"""Jobs on PostgreSQL: each round of each side uses a new database on one server with fsync on."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from rolehost_testing import services

from benchmarks.children import Child, figures, finish, processor_seconds
from benchmarks.deployments import Place, migrate, place
from benchmarks.model import ROOT, Bench, Unmeasured
from benchmarks.pairs import Side
from benchmarks.tally import Tally

#: Processes that run jobs on each side; each has the default number of worker threads.
PROCESSES = 2

#: The rate excludes the first tenth of the jobs: after it all processes are busy.
WARM = 0.1

#: Selects a row if ends of jobs are still to be stored.
UNFINISHED = (
    "SELECT 1 FROM rolehost_jobs WHERE state IN ('available', 'claimed', 'running') LIMIT 1"
)
_BACKENDS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
#: Creates the table that jobs with an effect write to.
EFFECTS_TABLE = (
    "CREATE TABLE effects (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " number BIGINT NOT NULL)"
)

_NUMBERS = itertools.count()

#: The plugin with the actors of :mod:`benchmarks.programs.plugin`.
ACTORS = "benchmarks.programs.plugin:durable"


@dataclass(frozen=True, slots=True)
class Program:
    """A module of :mod:`benchmarks.programs` and the arguments of its commands.

    Attributes:
        name: the module.
        fill: arguments of the command that enqueues the jobs.
        drain: arguments of the command that runs jobs until it is stopped.
    """

    name: str
    fill: Sequence[str]
    drain: Sequence[str]


class Runs:
    """Runs programs against databases of a server that :func:`server` starts.

    ``trees``: see :func:`benchmarks.deployments.environment`.
    """

    def __init__(self, bench: Bench, url: str, trees: Sequence[Path] = (ROOT,)) -> None:
        self._bench = bench
        self._url = url
        self._trees = trees

    def host(self, actor: str, full: int, plugin: str = ACTORS) -> Side:
        """Jobs run by the host's workers; ``plugin`` is the target of its entry point."""
        count = self.count(full)

        def measure() -> dict[str, float]:
            with self.database() as url:
                made = self.deployed(url, plugin)
                fill, drain = ["fill", str(made.file), actor, count], ["drain", str(made.file)]
                return self.drain(Program("host_postgres", fill, drain), int(count), made, url)

        return measure

    def bare(self, actor: str, full: int) -> Side:
        """Jobs run by loops over the ledger's statements of commit 991056b."""
        count = self.count(full)

        def measure() -> dict[str, float]:
            with self.database() as url:
                fill, drain = ["fill", url, actor, count], ["drain", url, actor]
                made = self.undeployed(url)
                return self.drain(Program("bare_psycopg", fill, drain), int(count), made, url)

        return measure

    def host_enqueues(self, command: str, *arguments: str) -> Side:
        """Jobs enqueued by the host."""

        def measure() -> dict[str, float]:
            with self.database() as url:
                made = self.deployed(url)
                given = [command, str(made.file), *arguments]
                return figures("host_postgres", given, made.folder, made.env)

        return measure

    def bare_enqueues(self, command: str, *arguments: str) -> Side:
        """Jobs enqueued by bare statements."""

        def measure() -> dict[str, float]:
            with self.database() as url:
                made = self.undeployed(url)
                return figures("bare_psycopg", [command, url, *arguments], made.folder, made.env)

        return measure

    def count(self, full: int) -> str:
        """Return a number of jobs for this run, as an argument."""
        return str(self._bench.scaled(full, full // 3))

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a new database during the block."""
        name = f"bench_{next(_NUMBERS)}"
        execute(self._url, f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))
        finally:
            execute(self._url, f"DROP DATABASE {name} WITH (FORCE)")

    def deployed(self, url: str, plugin: str = ACTORS) -> Place:
        """Write a deployment for a database and create its tables."""
        made = place(
            self._folder(url),
            {"bench-actors": plugin},
            ["postgres"],
            self._trees,
            postgres={"url": url},
            log={"level": "warning"},
        )
        migrate(made)
        execute(url, EFFECTS_TABLE)
        return made

    def undeployed(self, url: str) -> Place:
        """Return a folder and an environment for programs that do not use the host."""
        return place(self._folder(url), {})

    def _folder(self, url: str) -> Path:
        return self._bench.folder / urlsplit(url).path.strip("/")

    def drain(
        self, program: Program, count: int, made: Place, ledger: str | None
    ) -> dict[str, float]:
        """Enqueue jobs, then let the processes run them all.

        Args:
            program: the program of both commands.
            count: number of jobs that the program enqueues.
            made: where to run it.
            ledger: the database whose job rows must be completed too; None to only count runs.

        Returns:
            ``drain``, jobs per second; with a ledger also the processor time of a job, see
            :meth:`Used.each`.
        """
        module = f"benchmarks.programs.{program.name}"
        finish(["-m", module, *program.fill], made.folder, made.env)
        if ledger is not None:
            # Autovacuum would do the same at an arbitrary time.
            execute(ledger, "VACUUM ANALYZE")
        execute(self._url, "CHECKPOINT")
        with workers(program, made) as (tally, pids):
            used = None if ledger is None else Used(pids, ledger)
            tally.begin()
            tally.await_total(int(count * WARM))
            first, began = tally.total, time.perf_counter()
            tally.await_total(count)
            if ledger is not None:
                _await_completed(ledger)
            rate = (count - first) / (time.perf_counter() - began)
            return {"drain": rate, **(used.each(count) if used else {})}


@contextmanager
def workers(program: Program, made: Place) -> Iterator[tuple[Tally, Sequence[int]]]:
    """Run the processes during the block; they wait for :meth:`Tally.begin`. Give their pids too.

    Raises:
        Unmeasured: one of them did not become ready.
    """
    path = made.folder / "tally"
    path.unlink(missing_ok=True)  # of earlier processes
    tally = Tally(path)
    with ExitStack() as stack:
        children = []
        for slot in range(PROCESSES):
            module = f"benchmarks.programs.{program.name}"
            arguments = ["-m", module, *program.drain, str(path), str(slot)]
            children.append(Child(arguments, made.folder, made.env))
            stack.callback(children[-1].stop)
        tally.await_ready(PROCESSES)
        yield tally, [child.pid for child in children]


class Used:
    """The processor time of some processes and of the sessions of a database, from now on.

    Sessions that ended meanwhile do not count.
    """

    def __init__(self, pids: Sequence[int], url: str) -> None:
        self._pids, self._url = pids, url
        self._processes, self._sessions = self._seconds()

    def each(self, jobs: int) -> dict[str, float]:
        """Return µs for each job: ``cost`` of the processes, ``total`` with the sessions."""
        processes, sessions = self._seconds()
        used = sum(spent - self._sessions.get(pid, 0.0) for pid, spent in sessions.items())
        cost = (processes - self._processes) / jobs * 1e6
        return {"cost": cost, "total": cost + used / jobs * 1e6}

    def _seconds(self) -> tuple[float, dict[int, float]]:
        sessions = (row[0] for row in execute(self._url, _BACKENDS))
        return sum(map(processor_seconds, self._pids)), {
            pid: processor_seconds(pid) for pid in sessions
        }


@contextmanager
def server() -> Iterator[str]:
    """Run PostgreSQL during the block and give its URL.

    Raises:
        Unmeasured: PostgreSQL is not installed.
    """
    try:
        started = services.start("postgres")
    except services.Missing as missing:
        raise Unmeasured(str(missing)) from missing
    with started:
        yield started.url


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Execute one statement in its own session and transaction; return its rows."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def _await_completed(url: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(UNFINISHED)
            while cursor.fetchone():
                time.sleep(0.001)
                cursor.execute(UNFINISHED)
