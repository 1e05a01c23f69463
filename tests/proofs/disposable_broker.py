"""Flush, stop and restart every engine, freeze and kill every role: no work is lost."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.proofs.disposable_books import Books
from tests.proofs.disposable_fleet import Engines, Fleet, client, deployed, engines
from tests.proofs.disposable_load import Entry, Load
from tests.proofs.disposable_ways import Arrivals, Entries, Webhooks
from tests.proofs.kit import Figures, Options
from tests.proofs.receiver import receiving
from tests.proofs.running import eventually

PROMISE = (
    "Each acknowledged message of REST and Kafka has its effect once, events keep the order of"
    " their key, and every probe is ready within 15 s, while Redis is emptied and stopped, Kafka"
    " stopped, PostgreSQL restarted, every role frozen past its lease, and processes killed"
)
DURATION = "15 to 25 minutes"
GROUPED = True

#: Maximum seconds of recovery after a fault, at the 99th percentile.
GOAL = 15.0
#: Timeout in seconds for the recovery.
PATIENCE = 120.0
ROLES = ("http", "worker", "consumer", "scheduler")


class Size(NamedTuple):
    """The size of a run; times in seconds.

    Attributes:
        rate: entries over REST per second; half as many come through Kafka.
        webhooks: messages over REST per second; half as many come through Kafka.
        flushes: number of times that Redis is flushed.
        between: time between two flushes.
        away: downtime of Redis, and then of Kafka.
        frozen: time for which processes are frozen; longer than their leases.
        roles: roles of which one process each is frozen, all at the same time.
        hold: remaining run time of the jobs that run when a worker is frozen.
        salvos: number of times that several processes are killed shortly one after the other.
        kills: kills in each salvo; the next salvo starts after the recovery.
        within: maximum time from the first to the last kill of a salvo.
        settings: further settings of the deployments, as TOML.
    """

    rate: float
    webhooks: float
    flushes: int
    between: float
    away: float
    frozen: float
    roles: Sequence[str]
    hold: float
    salvos: int
    kills: int
    within: float
    settings: str


FULL = Size(
    rate=10.0, webhooks=2.0, flushes=12, between=5.0, away=60.0, frozen=40.0, roles=ROLES,
    hold=1.0, salvos=40, kills=5, within=2.0, settings="",
)  # fmt: skip
SHORT = Size(
    rate=8.0, webhooks=2.0, flushes=2, between=2.0, away=3.0, frozen=10.0, roles=("worker",),
    hold=1.0, salvos=2, kills=5, within=2.0,
    # A process is frozen for longer than its lease and the interval of sweeps (5 s) together.
    settings="[delivery]\nlease = 3.0\nheartbeat = 1.0\n",
)  # fmt: skip


class Fault(NamedTuple):
    """A fault of the fleet.

    Attributes:
        kind: the kind of fault.
        over: when the engine answered again, or the process was thawed or killed.
    """

    kind: str
    over: float


def prove(options: Options) -> Figures:
    """Send, cause faults, wait, and compare acknowledged entries with database and receiver."""
    size = SHORT if options.short else FULL
    arrivals = Arrivals()
    with (
        engines() as servers,
        deployed(servers, size.settings) as fleet,
        client(fleet) as services,
        receiving(arrivals) as receiver,
    ):
        site = Site(
            servers,
            fleet,
            Entries(fleet.url, services),
            Webhooks(fleet.url, services, receiver, arrivals.first),
            Books(servers.postgres.url),
        )
        load = Load([*site.rows.ways(size.rate), *site.webhooks.ways(size.webhooks)])
        load.start()
        assert not site.unsettled(load), "nothing gets through before the first fault"
        trial = Trial(site, load, size, options)
        trial.run()
        load.stop(PATIENCE)
        entries = load.entries()
        left = site.left(entries, PATIENCE)
        wrong = site.books.audit(entries)._asdict() | site.webhooks.audit(entries)
        done = site.books.finished() | arrivals.first
        figures = {
            "acknowledged": len(entries),
            "by_way": counted(each.name[0] for each in entries),
            **wrong,
            "wire_duplicates": sum(receiver.wire.values()) - len(receiver.ledger),
            "ticks": site.books.ticks(),
            "stale_refused": fleet.said("lease lost, effects undone"),
            "answers": ",".join(f"{each}:{n}" for each, n in sorted(load.answers.items())),
            **trial.figures(entries, done),
        }
    assert not left, f"never finished: {left[:10]}: {figures}"
    assert not any(wrong.values()), f"{wrong}: {figures}"
    assert figures["stale_refused"], f"no stale write was tried: {figures}"
    slow = figures["recovery_p99"]
    assert slow <= GOAL, f"recovery took {slow} s at the 99th percentile: {figures}"
    return figures


class Site(NamedTuple):
    """All participants of the proof."""

    servers: Engines
    fleet: Fleet
    rows: Entries
    webhooks: Webhooks
    books: Books

    def left(self, entries: Sequence[Entry], seconds: float) -> list[str]:
        """Wait until the acknowledged entries are done; return the names of the others."""
        end = time.monotonic() + seconds
        rows = self.books.wait(entries, seconds)
        return rows + self.webhooks.wait(entries, max(0.0, end - time.monotonic()))

    def unsettled(self, load: Load) -> list[str]:
        """Wait until all entries acknowledged so far are done, and a newer one of each way.

        Returns:
            The names of the entries and ways that are not done.
        """
        now = time.time()
        left = self.left([each for each in load.entries() if each.acknowledged], PATIENCE)

        def first() -> dict[str, Entry]:
            assert not load.broken, load.broken
            newer = (each for each in load.entries() if each.sent >= now and each.acknowledged)
            return {each.name[0]: each for each in reversed(list(newer))}

        ways = {way.prefix for way in load.ways}
        found = eventually(first, lambda found: found.keys() == ways, seconds=PATIENCE)
        return left + sorted(ways - found.keys()) + self.left(list(found.values()), PATIENCE)


class Trial:
    """Causes the faults one after the other; each starts after the recovery from the last."""

    def __init__(self, site: Site, load: Load, size: Size, options: Options) -> None:
        self._site = site
        self._load = load
        self._size = size
        self._random = random.Random(options.seed)
        steps = size.flushes + 4 + len(size.roles) + size.salvos * size.kills
        self._task = options.progress(steps, "faults")
        self.faults: list[Fault] = []
        #: Role of each killed process.
        self.killed: list[str] = []
        #: When processes were frozen, seconds since the epoch.
        self._frozen_at = 0.0

    def run(self) -> None:
        """Cause all faults."""
        servers, size = self._site.servers, self._size
        for _ in range(size.flushes):
            flush(servers.redis.url)
            self._over("flush")
            time.sleep(size.between)  # the interval that the promise states
        self._well("flush")
        for server in (servers.redis, servers.kafka):
            server.stop()
            time.sleep(size.away)  # the downtime
            server.run()
            self._over(f"{server.name} away")
            self._well(server.name)
        for immediate in (False, True):
            servers.postgres.restart(immediate=immediate)
            self._over("postgres immediate" if immediate else "postgres fast")
            self._well("postgres")
        self._freeze()
        self._well("freezing")
        for _ in range(size.salvos):
            self._salvo()
            self._well("a salvo")

    def figures(self, entries: Sequence[Entry], done: Mapping[str, float]) -> dict[str, Any]:
        """Return the faults and the recovery times; ``done`` is when each entry was done."""
        taken_over = latest(entries, done, self._frozen_at) - self._frozen_at
        return {
            "kills": len(self.killed),
            "killed": counted(self.killed),
            "faults": len(self.faults),
            "taken_over_from_the_frozen": round(taken_over, 1),
            **spread(recoveries(self.faults, entries, done)),
        }

    def _over(self, kind: str) -> None:
        self.faults.append(Fault(kind, time.time()))
        self._task.advance(1)

    def _well(self, what: str) -> None:
        left = self._site.unsettled(self._load)
        assert not left, f"{len(left)} wait {PATIENCE} s after {what}: {left[:10]}"

    def _freeze(self) -> None:
        fleet, roles = self._site.fleet, self._size.roles
        chosen = {role: self._random.choice(fleet.workers(role)) for role in roles}
        # During jobs, so that the process holds stale jobs when it is thawed.
        self._site.rows.hold = self._size.hold
        time.sleep(3 * self._size.hold)  # until such jobs run
        chosen["worker"] = eventually(self._site.books.holders, bool)[0]
        self._frozen_at = time.time()
        for pid in chosen.values():
            os.kill(pid, signal.SIGSTOP)
        self._site.rows.hold = 0.0
        time.sleep(self._size.frozen)  # longer than the leases
        for role, pid in chosen.items():
            os.kill(pid, signal.SIGCONT)
            self._over(f"{role} frozen")

    def _salvo(self) -> None:
        for _ in range(self._size.kills):
            self._kill(self._random.choice(ROLES), self._random.random())
            time.sleep(self._random.uniform(0, self._size.within / self._size.kills))

    def _kill(self, role: str, which: float) -> None:
        # Wait for a process that is being restarted, so that a seed always kills the same roles.
        pids = eventually(lambda: self._site.fleet.pids(role), bool, seconds=40)
        assert pids, f"no {role} process came back within 40 s"
        try:
            os.kill(pids[int(which * len(pids))], signal.SIGKILL)
        except ProcessLookupError:
            self._kill(role, which)
            return
        self.killed.append(role)
        self._over(f"{role} killed")


def flush(url: str) -> None:
    """Flush Redis."""
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()


def recoveries(
    faults: Sequence[Fault], entries: Sequence[Entry], done: Mapping[str, float]
) -> dict[str, list[float]]:
    """Return the seconds of recovery after each fault, by kind.

    The recovery ends when all entries that were acknowledged before the end of the fault are done,
    and also the first entry of each way that was sent after it.

    Args:
        faults: the faults.
        entries: all entries.
        done: when each entry was done.
    """
    seconds: dict[str, list[float]] = {}
    for fault in faults:
        first: dict[str, float] = {}
        for each in entries:
            if each.sent >= fault.over:
                way = each.name[0]
                first[way] = min(first.get(way, math.inf), done[each.name])
        over = max(latest(entries, done, fault.over), *first.values())
        seconds.setdefault(fault.kind, []).append(over - fault.over)
    return seconds


def latest(entries: Sequence[Entry], done: Mapping[str, float], moment: float) -> float:
    """Return when the last entry acknowledged before a moment was done, at least the moment."""
    times = (
        done[each.name]
        for each in entries
        if each.acknowledged is not None and each.acknowledged <= moment
    )
    return max(moment, *times)


def counted(names: Iterable[str]) -> str:
    """Return the count of each name, as text."""
    return ",".join(f"{name}:{count}" for name, count in sorted(Counter(names).items()))


def spread(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the figures of each kind and of all kinds together."""
    everything = sorted(each for times in seconds.values() for each in times)
    kinds = {
        f"recovery_{kind.replace(' ', '_')}": (
            round(times[0], 1)
            if len(times) == 1
            else f"p50:{percentile(times, 50):.1f},max:{max(times):.1f}"
        )
        for kind, times in seconds.items()
    }
    return kinds | {
        "recovery_p50": round(percentile(everything, 50), 1),
        "recovery_p99": round(percentile(everything, 99), 1),
        "recovery_max": round(max(everything), 1),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` per cent of the values do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
