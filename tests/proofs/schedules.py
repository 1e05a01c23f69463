"""Schedules tick once for each time, as their policies say, over kills and clock changes."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rolehost import failpoints, schema
from rolehost.api import Actor, Database, Schedule, Secret, actor
from rolehost.api.delivery import DeliverySettings
from rolehost.delivery import tickstate
from rolehost.delivery.runtime import Declared, DeliveryRuntime
from rolehost.delivery.scopes import unit_of_work
from rolehost.delivery.ticks import Ticker
from rolehost.observe.recorders import Recorders
from rolehost_embedded.database import EmbeddedDatabase
from rolehost_embedded.settings import EmbeddedSettings
from rolehost_postgres.database import PostgresDatabase
from rolehost_postgres.settings import PostgresSettings
from rolehost_testing import services
from structlog.testing import capture_logs

from tests.proofs.kit import Figures, Options, Task, Unavailable
from tests.proofs.schedules_model import END, HOUR, MINUTE, START, model_of

PROMISE = (
    "In seven simulated days in which the clocks of Vienna go forward and those of Auckland go"
    " back, with three schedulers, 50 killed leaders, pauses, outages, changed times and clocks"
    " that are set in both directions, every schedule has exactly the jobs that its policies for"
    " missed and overlapping ticks demand, on SQLite and PostgreSQL"
)
DURATION = "about 70 s; --short: 20 s"

#: Seconds between two steps of the simulated fleet, and killed leaders.
FULL, SHORT = ((20, 100), 50), ((200, 1200), 15)
LEASE = 15.0
#: A schedule whose jobs may not overlap has an unfinished one for up to this many milliseconds.
LONGEST_JOB = 2 * HOUR


@actor(name="nothing")
def nothing(job: object) -> None:
    """Do nothing; no worker runs."""


class Clock:
    """A clock that the proof sets."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> int:
        """Return the milliseconds since the epoch."""
        return self.at


class Fleet:
    """Three schedulers of one deployment on one database, and the model that they must equal."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.clock = Clock()
        self.chance = chance
        self.database = database
        self.events: Counter[str] = Counter()
        self.runtime = _runtime(database, self.clock)
        self.models = [model_of(schedule, LEASE) for schedule in SCHEDULES]
        self._numbers = 0
        self.tickers = [self._scheduler() for _ in range(3)]

    def _scheduler(self) -> Ticker:
        self._numbers += 1
        return Ticker(self.runtime, SCHEDULES, f"scheduler {self._numbers}", LEASE)

    def step(self, kill: bool) -> None:
        """Let every scheduler try to lead; the leader ticks, and may be killed meanwhile."""
        self._finish_jobs()
        before = self._states()
        for index in self.chance.sample(range(3), 3):
            ticker = self.tickers[index]
            if not ticker.lead():
                continue
            reaches = self.chance.randint(1, 3) if kill else 0
            if self._tick(ticker, reaches):
                self.tickers[index] = self._scheduler()
                self.events["kills"] += 1
            elif self.chance.randrange(4) == 0:
                self._tick_late(before)

    def _states(self) -> dict[str, tickstate.TickState]:
        with self.database.session():
            return tickstate.read(self.database)

    def _tick_late(self, before: dict[str, tickstate.TickState]) -> None:
        """Tick as a leader that read the rows before another one ticked, and was frozen then."""
        late = self._scheduler()
        for schedule in SCHEDULES:
            late._step_one(schedule, before.get(schedule.name), self.clock.at)

    def _tick(self, ticker: Ticker, reaches: int) -> bool:
        """Tick; the leader dies at the ``reaches``-th job that it has written, if there is one."""
        left = reaches

        def die(_name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise failpoints.Crash

        disarm = failpoints.arm("ticks.after_enqueue", die) if reaches else lambda: None
        try:
            ticker.step()
        except failpoints.Crash:
            self._advance_models(reaches)
            return True
        finally:
            disarm()
        self._advance_models(0)
        return False

    def _advance_models(self, reaches: int) -> None:
        for model in self.models:
            if not model.would_tick(self.clock.at):
                model.step(self.clock.at)
                continue
            reaches -= 1
            if reaches == 0:
                return  # the leader died in the transaction of this schedule
            model.step(self.clock.at)

    def _finish_jobs(self) -> None:
        """Complete the jobs of schedules that must not overlap, sooner or later."""
        for model in self.models:
            if model.unfinished_until and self.clock.at >= model.unfinished_until:
                with self.database.session(), self.database.transaction() as tx:
                    tx.execute(
                        "UPDATE rolehost_jobs SET state = 'completed', finished_at = ?"
                        " WHERE state <> 'completed' AND unique_key = ?",
                        (self.clock.at, f"rolehost.schedule {model.schedule.name}"),
                    )
                model.unfinished_until = 0
            elif model.unfinished_until < 0:  # a job was just created
                model.unfinished_until = self.clock.at + self.chance.randrange(LONGEST_JOB)

    def pause_or_resume(self) -> None:
        """Pause a schedule, or let a paused one go on."""
        # Each second time the paused one, so that ticks of a pause are not caught up.
        paused = [model for model in self.models if model.paused]
        model = paused[0] if paused else self.chance.choice(self.models)
        if model.last is None:
            return
        act = tickstate.resume if model.paused else tickstate.pause
        with unit_of_work(self.runtime) as work:
            act(work.transaction, model.schedule.name, self.clock.at)
        if model.paused:
            model.last = self.clock.at
        model.paused = not model.paused
        self.events["pauses"] += 1

    def change(self) -> None:
        """Set or reset the times of the schedule that operators change."""
        (model,) = (each for each in self.models if each.schedule.name == "changed")
        other = model.schedule.every != 600.0
        with unit_of_work(self.runtime) as work:
            if other:
                changed = tickstate.replace(SCHEDULES[-1], every=600.0, cron=None)
                tickstate.change(work.transaction, changed, self.clock.at)
            else:
                tickstate.reset(work.transaction, "changed", self.clock.at)
        renewed = model_of(changed if other else SCHEDULES[-1], LEASE)
        model.schedule, model.ticks = renewed.schedule, renewed.ticks
        model.last = self.clock.at
        self.events["changes"] += 1

    def compare(self) -> dict[str, int]:
        """Return the numbers of jobs; AssertionError if a schedule has others than its model."""
        states = self._states()
        wrong = []
        jobs = 0
        for model in self.models:
            name = model.schedule.name
            with self.database.session():
                [(count,)] = self.database.read(
                    "SELECT count(*) FROM rolehost_jobs WHERE priority = ?", (priority(name),)
                )
                [(keyed,)] = self.database.read(
                    "SELECT count(*) FROM rolehost_jobs WHERE key = ?",
                    (f"rolehost.schedule {name}",),
                )
            # The ledger runs the jobs of a key one after the other.
            assert keyed == (count if model.schedule.overlap == "queue" else 0), name
            jobs += count
            state = states[name]
            found = (count, state.last_tick, state.skipped, state.failures)
            expected = (model.jobs, model.last, model.skipped, 0)
            if found != expected:
                wrong.append(f"{name}: jobs, last tick, skipped, failures {found} != {expected}")
        assert not wrong, "; ".join(wrong)
        return {"jobs": jobs, "skipped": sum(model.skipped for model in self.models)}


def _schedules() -> list[Schedule]:
    vienna, auckland = {"timezone": "Europe/Vienna"}, {"timezone": "Pacific/Auckland"}
    fields: dict[str, dict[str, Any]] = {
        "often": {"every": 300.0},
        "often-skip": {"every": 300.0, "missed": "skip"},
        "often-all": {"every": 300.0, "missed": "all", "missed_limit": 20, "jitter": 60.0},
        "no-overlap": {"every": 900.0, "overlap": "skip"},
        "no-overlap-all": {"every": 900.0, "overlap": "skip", "missed": "all"},
        "queued": {"every": 1800.0, "overlap": "queue"},
        "half-hours": {"cron": "*/30 * * * *", **vienna},
        "half-hours-auckland": {"cron": "*/30 * * * *", **auckland, "missed": "all"},
        "nightly": {"cron": "30 2 * * *", **vienna},
        "nightly-auckland": {"cron": "30 2 * * *", **auckland},
        "nightly-all": {"cron": "15 2 * * *", **auckland, "missed": "all"},
        "seconds": {"cron": "30 */10 * * * *", **vienna, "missed": "skip"},
        "changed": {"cron": "0 * * * *", **vienna},
    }
    return [Schedule(name=name, actor=_actor(name), **each) for name, each in fields.items()]


def priority(name: str) -> int:
    """Return the priority of the jobs of a schedule, by which they are told apart."""
    return sum(ord(letter) * (index + 1) for index, letter in enumerate(name))


def _actor(name: str) -> Actor[..., Any]:
    return Actor(fn=nothing.fn, name=name, priority=priority(name))


SCHEDULES = _schedules()


def _runtime(database: Database, clock: Clock) -> DeliveryRuntime:
    actors = {name: _actor(name) for name in (schedule.name for schedule in SCHEDULES)}
    return DeliveryRuntime(
        database=database,
        wake=lambda _names: None,
        clock=clock,
        random=random.Random(1),
        source="/proof",
        declared=Declared(
            actors=actors, enqueues=frozenset(actors), publishes=frozenset(), strict=True
        ),
        policy=DeliverySettings(),
        recorder=Recorders(),
    )


def prove(options: Options) -> Figures:
    """Simulate the week on both databases, with the same seed."""
    between, kills = SHORT if options.short else FULL
    figures: dict[str, Any] = {}
    for engine in ("sqlite", "postgres"):
        task = options.progress((END - START) // HOUR, engine)
        with _database(engine) as database, capture_logs():
            schema.up(database, [schema.HOST_SET])
            found = _week(Fleet(database, random.Random(options.seed)), between, kills, task)
        figures |= {f"{engine}_{name}": number for name, number in found.items()}
    return figures


def _week(fleet: Fleet, between: tuple[int, int], kills: int, task: Task) -> dict[str, int]:
    chance, clock = fleet.chance, fleet.clock
    kill_at = sorted(chance.randrange(START, END - 12 * HOUR) for _ in range(kills))
    # What happens once, at these times: outages, clock steps, pauses, changes.
    plan = sorted((chance.randrange(START, END), kind) for kind in _KINDS for _ in range(4))
    shown = START
    steps = 0
    while True:
        steps += 1
        clock.at += chance.randint(*between) * 1000
        if clock.at >= END and not plan:
            break
        while plan and clock.at >= plan[0][0]:
            _do(fleet, plan.pop(0)[1])
        killed = fleet.events["kills"]
        # A leader that writes no job at its time is killed in a later step.
        fleet.step(kill=killed < kills and clock.at >= kill_at[killed])
        while shown + HOUR <= min(clock.at, END):
            shown += HOUR
            task.advance()
    assert fleet.events["kills"] >= kills, f"only {fleet.events['kills']} leaders were killed"
    return {"steps": steps, **fleet.events, **fleet.compare()}


_KINDS = ("outage", "forward", "back", "pause", "change")


def _do(fleet: Fleet, kind: str) -> None:
    clock, chance = fleet.clock, fleet.chance
    match kind:
        case "outage":  # no scheduler runs
            clock.at += chance.randrange(10 * MINUTE, 9 * HOUR)
        case "forward":
            clock.at += chance.randrange(2 * MINUTE, 2 * HOUR)
        case "back":
            clock.at -= chance.randrange(2 * MINUTE, 2 * HOUR)
        case "pause":
            fleet.pause_or_resume()
        case "change":
            fleet.change()
    if kind not in ("pause", "change"):
        fleet.events[f"{kind}s"] += 1


@contextlib.contextmanager
def _database(engine: str) -> Iterator[Database]:
    """Give an empty database.

    Raises:
        Unavailable: PostgreSQL is not installed.
    """
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="rolehost-proof-") as folder:
            path = Path(folder, "schedules.db")
            database: Any = EmbeddedDatabase(EmbeddedSettings(path=path, synchronous="off"))
            yield database
            database.close()
        return
    try:
        started = services.start("postgres")
    except services.Missing as missing:
        raise Unavailable(str(missing)) from None
    with started as server:
        database = PostgresDatabase(PostgresSettings(url=Secret(server.url)))
        yield database
        database.close()
