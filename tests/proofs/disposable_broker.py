"""Every engine is emptied, stopped and restarted, every role frozen and killed: nothing is lost."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.proofs.disposable_books import Books
from tests.proofs.disposable_fleet import Engines, Fleet, client, deployed, engines
from tests.proofs.disposable_load import Load
from tests.proofs.kit import Figures, Options
from tests.proofs.running import eventually

PROMISE = (
    "While Redis is emptied and stopped, Kafka stopped, PostgreSQL restarted, every role frozen"
    " past its lease and processes killed, what was acknowledged over REST and Kafka has each"
    " effect once, events keep the order of their key, and all is well again within 15 s"
)
DURATION = "about 9 minutes"

#: Seconds in which everything must be well again after a fault, at the 99th percentile.
GOAL = 15.0
#: Seconds after which the proof gives up waiting for it.
PATIENCE = 120.0
ROLES = ("http", "worker", "consumer", "scheduler")


class Size(NamedTuple):
    """How large a run is; times in seconds.

    Attributes:
        rate: entries over HTTP in a second; half as many come through Kafka.
        flushes: how often Redis is emptied.
        between: time between two of them.
        away: for how long Redis, and then Kafka, is stopped.
        frozen: for how long processes are stopped: longer than what they hold lives.
        roles: of which one process is frozen, in this order.
        hold: for how long jobs work on that are running when a worker is frozen.
        kills: how many processes are killed.
        pace: time between two kills.
        settings: what the deployments say besides, as TOML.
    """

    rate: float
    flushes: int
    between: float
    away: float
    frozen: float
    roles: Sequence[str]
    hold: float
    kills: int
    pace: float
    settings: str


FULL = Size(
    rate=20.0, flushes=12, between=5.0, away=60.0, frozen=40.0, roles=ROLES, hold=1.0,
    kills=200, pace=0.75, settings="",
)  # fmt: skip
SHORT = Size(
    rate=10.0, flushes=2, between=2.0, away=3.0, frozen=6.0, roles=("worker",), hold=1.0,
    kills=10, pace=0.5,
    # So that a process can be frozen past its lease within the time of a short run.
    settings="[delivery]\nlease = 3.0\nheartbeat = 1.0\n[scheduler]\nsweep = 1.0\n",
)  # fmt: skip


class Fault(NamedTuple):
    """Something that was done to the fleet.

    Attributes:
        kind: what.
        over: when the engine answered again, the process was thawed or was killed.
    """

    kind: str
    over: float


def prove(options: Options) -> Figures:
    """Send, break, wait, and compare what was acknowledged with the database."""
    size = SHORT if options.short else FULL
    with engines() as servers, deployed(servers, size.settings) as fleet:
        books = Books(servers.postgres.url)
        with sending(fleet, size) as load:
            assert not settled(books, load), "nothing gets through before the first fault"
            trial = Trial(servers, fleet, books, load, size, options)
            trial.run()
            load.stop(PATIENCE)
            left = books.wait(load.entries(), PATIENCE)
        entries = load.entries()
        audit = books.audit(entries)
        recoveries = measured(trial.faults, books, load)
        figures: dict[str, object] = {
            "acknowledged": len(entries),
            **{f"audit_{name}": value for name, value in audit._asdict().items()},
            "ticks": books.ticks(),
            "stale_refused": fleet.said("lease lost, effects undone"),
            "kills": sum(trial.killed.values()),
            "killed": ",".join(f"{role}:{count}" for role, count in sorted(trial.killed.items())),
            "answers": ",".join(f"{code}:{count}" for code, count in sorted(load.answers.items())),
            "unpublished": load.unpublished,
            "faults": len(trial.faults),
            **spread(recoveries),
        }
    assert not left, f"{left} entries never finished: {figures}"
    assert not any(audit), f"{audit}: {figures}"
    assert figures["stale_refused"], f"no stale write was tried: {figures}"
    slow = figures["recovery_p99"]
    assert isinstance(slow, float)
    assert slow <= GOAL, f"recovery took {slow} s at the 99th percentile: {figures}"
    return figures


@contextmanager
def sending(fleet: Fleet, size: Size) -> Iterator[Load]:
    """Send for the time of the block; events of Kafka are published by a client of its own."""
    from rolehost.api import Event, StorageUnavailable
    from rolehost.delivery import envelope

    with client(fleet) as services:

        def publish(entry: str, key: str, seq: int) -> None:
            event = Event(
                topic="entries.incoming",
                type="entry",
                data={"entry": entry, "key": key, "seq": seq},
                key=key,
            )
            now = int(time.time() * 1000)
            record = envelope.to_record(event, event_id=entry, source="proof", now=now)
            services.stream.publish([record])

        load = Load(fleet.url, publish, StorageUnavailable, size.rate)
        load.start()
        yield load


def settled(books: Books, load: Load) -> int:
    """Wait until what is acknowledged by now is done, and something newer; return the rest."""
    now = time.time()
    left = books.wait(
        [each for each in load.entries() if (each.acknowledged or now) < now], PATIENCE
    )

    def newer() -> bool:
        assert not load.broken, load.broken
        fresh = [each for each in load.entries() if each.sent >= now and each.acknowledged]
        return len(fresh) > books.wait(fresh, 0.0)

    return left + (not eventually(newer, bool, seconds=PATIENCE))


class Trial:
    """Does one thing after the other to the fleet, each when the one before is over."""

    def __init__(
        self,
        servers: Engines,
        fleet: Fleet,
        books: Books,
        load: Load,
        size: Size,
        options: Options,
    ) -> None:
        self._servers = servers
        self._fleet = fleet
        self._books = books
        self._load = load
        self._size = size
        self._random = random.Random(options.seed)
        steps = size.flushes + 4 + len(size.roles) + size.kills
        self._task = options.progress(steps, "faults")
        self.faults: list[Fault] = []
        self.killed: dict[str, int] = {}

    def run(self) -> None:
        """Do all of them."""
        servers, size = self._servers, self._size
        for _ in range(size.flushes):
            flush(servers.redis.url)
            self._over("flush")
            time.sleep(size.between)  # the rhythm that the promise names
        self._well("flush")
        for server in (servers.redis, servers.kafka):
            server.stop()
            time.sleep(size.away)  # for so long it is away
            server.run()
            self._over(f"{server.name} away")
            self._well(server.name)
        for immediate in (False, True):
            servers.postgres.restart(immediate=immediate)
            self._over("postgres immediate" if immediate else "postgres fast")
            self._well("postgres")
        for role in size.roles:
            self._freeze(role)
            self._well(role)
        for _ in range(size.kills):
            self._kill(self._random.choice(ROLES), self._random.random())
            time.sleep(size.pace)  # the rhythm of the kills
        self._well("kills")

    def _over(self, kind: str) -> None:
        self.faults.append(Fault(kind, time.time()))
        self._task.advance(1)

    def _well(self, what: str) -> None:
        left = settled(self._books, self._load)
        assert not left, f"{left} entries wait {PATIENCE} s after {what}"

    def _freeze(self, role: str) -> None:
        pid = self._random.choice(self._fleet.workers(role))
        if role == "worker":
            # In the middle of jobs, so that there is something stale when it is thawed.
            self._load.hold = self._size.hold
            time.sleep(3 * self._size.hold)  # until such jobs run
            pid, *_ = eventually(self._books.holders, bool)
        os.kill(pid, signal.SIGSTOP)
        self._load.hold = 0.0
        time.sleep(self._size.frozen)  # longer than its lease lives
        os.kill(pid, signal.SIGCONT)
        self._over(f"{role} frozen")

    def _kill(self, role: str, which: float) -> None:
        # One that is just being restarted is waited for, so that a seed kills the same roles.
        pids = eventually(lambda: self._fleet.pids(role), bool, seconds=40)
        assert pids, f"no {role} process came back within 40 s"
        try:
            os.kill(pids[int(which * len(pids))], signal.SIGKILL)
        except ProcessLookupError:
            self._kill(role, which)
            return
        self.killed[role] = self.killed.get(role, 0) + 1
        self._over(f"{role} killed")


def flush(url: str) -> None:
    """Empty Redis."""
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()


def measured(faults: Sequence[Fault], books: Books, load: Load) -> dict[str, list[float]]:
    """Return the seconds of recovery after each fault, by kind.

    It lasts until everything is done that was acknowledged before the fault was over, and until
    the first entry over HTTP and the first through Kafka are done that were sent after it.
    """
    finished = books.finished()
    entries = load.entries()
    seconds: dict[str, list[float]] = {}
    for fault in faults:
        before = [
            finished[each.name]
            for each in entries
            if each.acknowledged is not None and each.acknowledged <= fault.over
        ]
        first = [
            min(
                (finished[each.name] for each in entries
                 if each.sent >= fault.over and each.name[0] == way),
                default=fault.over,
            )
            for way in "rs"
        ]  # fmt: skip
        seconds.setdefault(fault.kind, []).append(max([*before, *first]) - fault.over)
    return seconds


def spread(recoveries: dict[str, list[float]]) -> dict[str, object]:
    """Return the figures: each kind by itself, and all together."""
    everything = sorted(each for times in recoveries.values() for each in times)
    kinds = {
        f"recovery_{kind.replace(' ', '_')}": (
            round(times[0], 1)
            if len(times) == 1
            else f"p50:{percentile(times, 50):.1f},max:{max(times):.1f}"
        )
        for kind, times in recoveries.items()
    }
    return kinds | {
        "recovery_p50": round(percentile(everything, 50), 1),
        "recovery_p99": round(percentile(everything, 99), 1),
        "recovery_max": round(max(everything), 1),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
