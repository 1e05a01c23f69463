"""Every feature of jobs in one load, while processes are killed and the fleet restarts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rolehost_testing import services
from rolehost_testing.services.server import Server

from benchmarks.children import finish
from benchmarks.deployments import migrate, place
from tests.proofs.jobs_storm_audit import UNFINISHED, audit, create
from tests.proofs.kills import processes
from tests.proofs.kit import Figures, Options, Task, Unavailable
from tests.proofs.ledgers import Ledger
from tests.proofs.running import READY, Running, eventually

PROMISE = (
    "On SQLite and PostgreSQL, 100,000 jobs with every feature in the mix, 200 killed workers, 30"
    " restarts of the fleet or the database, emptied queues, paused schedules and changed limits:"
    " each job ends exactly once in a final state, each batch once, and effects, results and"
    " history agree"
)
DURATION = "about 17 min; --short: 30 s"

#: The plugin's target.
PLUGIN = "tests.proofs.jobs_storm_plugin"

#: Settings of the fleet.
LEASE, HEARTBEAT, WORKERS, THREADS = 3.0, 1.0, 3, 4

#: Timeout in seconds for all jobs to end after the last fault.
PATIENCE = 300.0


class Size(NamedTuple):
    """The size of a run on one engine; ``pause``: seconds between two faults."""

    jobs: int
    kills: int
    restarts: int
    pause: float


FULL, SHORT = Size(100_000, 200, 30, 0.6), Size(2_500, 6, 1, 0.6)


def prove(options: Options) -> Figures:
    """Run the load and the faults on both engines, then compare what each job left behind."""
    size = SHORT if options.short else FULL
    figures: dict[str, Any] = {}
    wrong: list[str] = []
    for engine in ("sqlite", "postgres"):
        with _ground(engine) as ground:
            found = _run(ground, size, options)
        wrong += [f"{engine}: {name} {found[name]}" for name in found if _is_wrong(name, found)]
        figures |= {f"{engine}_{name}": value for name, value in found.items()}
    assert not wrong, f"{'; '.join(wrong)}: {figures}"
    return figures


def _is_wrong(name: str, found: dict[str, Any]) -> bool:
    """Return whether a figure that must be zero is not."""
    return name.startswith("wrong_") and bool(found[name])


class Ground(NamedTuple):
    """A deployment with its engine, and the servers that the faults reach; None: it has none."""

    ledger: Ledger
    postgres: Server | None
    redis: Server | None


@contextmanager
def _ground(engine: str) -> Iterator[Ground]:
    with TemporaryDirectory(prefix="rolehost-proof-") as name, ExitStack() as stack:
        folder = Path(name, "deployed")
        sections: dict[str, dict[str, Any]] = {
            "log": {"level": "info"},
            "delivery": {"lease": LEASE, "heartbeat": HEARTBEAT},
            "worker": {"processes": WORKERS, "threads": THREADS},
            "worker.weights": {"grouped": 2, "slow": 0.5},
            "batches": {"sweep": 1},
        }
        if engine == "sqlite":
            where = str(folder / "storm.db")
            sections["embedded"] = {"path": where}
            made = place(folder, {"storm": PLUGIN}, ["embedded", "batches"], **sections)
            ground = Ground(Ledger(engine, where, made), None, None)
        else:
            try:
                postgres = stack.enter_context(services.start("postgres"))
                redis = stack.enter_context(services.start("redis"))
            except services.Missing as missing:
                raise Unavailable(str(missing)) from None
            sections["postgres"], sections["redis"] = {"url": postgres.url}, {"url": redis.url}
            sections["storage"] = {"queue": "redis"}
            made = place(folder, {"storm": PLUGIN}, ["postgres", "redis", "batches"], **sections)
            ground = Ground(Ledger(engine, postgres.url, made), postgres, redis)
        migrate(made)
        create(ground.ledger)
        yield ground


def _run(ground: Ground, size: Size, options: Options) -> dict[str, Any]:
    ledger = ground.ledger
    storm = Storm(ground, random.Random(options.seed))
    with storm:
        seconds = size.kills * size.pause
        with _load(ledger, options.seed, size.jobs, seconds) as load:
            task = options.progress(size.kills, f"{ledger.engine}: kills")
            storm.rage(size, task)
            assert not load.wait(PATIENCE), "the load failed"
        task = options.progress(1, f"{ledger.engine}: jobs end")
        left = eventually(
            lambda: ledger.execute(UNFINISHED)[0][0], lambda count: not count, seconds=PATIENCE
        )
        task.advance()
    states = "SELECT actor, state, count(*) FROM rolehost_jobs GROUP BY actor, state"
    assert not left, f"{left} jobs or batches did not end: {ledger.execute(states)}"
    return {**storm.done, **audit(ledger)}


@contextmanager
def _load(
    ledger: Ledger, seed: int, jobs: int, seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.proofs.jobs_storm_load", str(ledger.made.file)]
    load = subprocess.Popen(
        [*command, str(seed), str(jobs), str(seconds)],
        cwd=ledger.made.folder,
        env={**os.environ, **ledger.made.env},
    )
    try:
        yield load
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()


class Storm:
    """The running fleet, and the faults; a context manager that ends the fleet."""

    def __init__(self, ground: Ground, chance: random.Random) -> None:
        self._ground = ground
        self._chance = chance
        self._host = self._start()
        self.done = {"kills": 0, "restarts": 0, "flushes": 0, "changes": 0}

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.stop()

    def _start(self) -> Running:
        made = self._ground.ledger.made
        command = [sys.executable, "-m", "rolehost", "run", str(made.file)]
        host = Running(command, made.folder, made.env)
        try:
            host.until(READY)
        except BaseException:
            host.stop()
            raise
        return host

    def rage(self, size: Size, task: Task) -> None:
        """Cause a fault after each pause, until there were enough kills."""
        others: list[Callable[[], None]] = [self._flush, self._limit, self._pause]
        every = size.kills // max(size.restarts, 1)
        while self.done["kills"] < size.kills:
            time.sleep(size.pause)  # the interval of the faults
            if not self._kill():
                continue
            task.advance()
            if self.done["kills"] % every == every // 2:
                self._restart()
            elif self.done["kills"] % 2 == 0:
                others[self.done["kills"] // 2 % len(others)]()

    def _kill(self) -> bool:
        """Kill a worker; return False if none runs just now."""
        found = sorted(pid for pid, role in processes(self._host.pid) if role == "worker")
        if not found:
            return False
        _kill(self._chance.choice(found))
        self.done["kills"] += 1
        return True

    def _restart(self) -> None:
        """Restart the fleet, or the database server at once."""
        self.done["restarts"] += 1
        server = self._ground.postgres
        if server is not None and self.done["restarts"] % 2 == 0:
            server.stop(immediate=True)
            server.run()
            return
        self._host.stop()
        self._host = self._start()

    def _flush(self) -> None:
        """Empty the queue, which holds wake-ups only."""
        if self._ground.redis is None:
            return
        from redis import Redis

        with Redis.from_url(self._ground.redis.url) as client:
            client.flushall()
        self.done["flushes"] += 1

    def _limit(self) -> None:
        rate, places = self._chance.choice((500, 1000, 2000)), self._chance.choice((20, 200))
        self._command("limits", "set", "actor:storm.rated", "--rate", str(rate))
        self._command("limits", "set", "queue:storm", "--concurrency", str(places))

    def _pause(self) -> None:
        self._command("schedules", self._chance.choice(("pause", "resume")), "storm.tick")

    def _command(self, *words: str) -> None:
        made = self._ground.ledger.made
        finish(["-m", "rolehost", *words, "-d", str(made.file)], made.folder, made.env)
        self.done["changes"] += 1


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
