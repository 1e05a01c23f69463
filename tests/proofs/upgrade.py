"""A fleet goes from each earlier schema to this one under load, back once and forth again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from rolehost_testing import services

from benchmarks.postgres import execute
from tests.proofs import claim_log, upgrade_million
from tests.proofs.kit import Figures, Options, Task, Unavailable
from tests.proofs.running import eventually
from tests.proofs.upgrade_fleet import EFFECTS, Fleet, answer, fleet
from tests.proofs.upgrade_versions import Version, earlier_schemas, install, this_version

PROMISE = (
    "A fleet with 10,000 waiting, delayed, keyed and dead jobs is upgraded from each earlier schema"
    " to this one, goes back, and is upgraded again, under load and with old and new processes side"
    " by side, on PostgreSQL and SQLite: no job is lost, none has two effects, and the jobs of a"
    " key run in order. While a million jobs are migrated on PostgreSQL, no statement waits for a"
    " second"
)
DURATION = "about 10 min, the first time 2 min more; --short: 40 s"


class Size(NamedTuple):
    """The size of a run.

    Attributes:
        jobs: of the backlog.
        rate: jobs that each enqueuer adds per second.
        mixed: effects of each version that end a step.
        limit: timeout in seconds for a step.
    """

    jobs: int
    rate: float
    mixed: int
    limit: float


FULL = {
    "postgres": Size(jobs=10_000, rate=40, mixed=400, limit=90),
    "sqlite": Size(jobs=10_000, rate=20, mixed=300, limit=120),
}
SHORT = {"postgres": Size(jobs=1000, rate=30, mixed=60, limit=60)}

#: The first schema with the present file of the embedded queue, which versions on SQLite share.
_EMBEDDED = 3

#: The first numbers of the jobs of each enqueuer.
_BACKLOG, _OLD, _NEW = 0, 1_000_000, 2_000_000

#: The first schema of which processes may enqueue unique jobs on the schemas after it: 0004 changed
#: the index that their statements name (docs/upgrading.md).
_UNIQUE = 4

_UNFINISHED = (
    "SELECT count(*) FROM rolehost_jobs WHERE state NOT IN ('completed', 'dead', 'cancelled')"
)
_STATES = "SELECT actor, state, count(*) FROM rolehost_jobs GROUP BY actor, state"
_STEPS = 9


def prove(options: Options) -> Figures:
    """Upgrade each earlier schema on each engine."""
    sizes, schemas = (SHORT, earlier_schemas()[-1:]) if options.short else (FULL, earlier_schemas())
    assert schemas, "the history has no earlier schema"
    task = options.progress(len(schemas), "earlier versions")
    versions = []
    for schema, commit in schemas:
        versions.append(install(schema, commit))
        task.advance()
    figures: dict[str, Any] = {"schemas": len(versions)}
    for engine, size in sizes.items():
        with _databases(engine) as make:
            for version in versions:
                if engine == "sqlite" and version.schema < _EMBEDDED:
                    continue
                task = options.progress(_STEPS, f"{engine}: from schema {version.schema}")
                with make() as ground:
                    found = _Upgrade(ground, version, size, task).run()
                figures |= {
                    f"{engine}_{version.schema}_{name}": each for name, each in found.items()
                }
            if engine == "postgres" and not options.short:
                task = options.progress(4, "postgres: a million jobs")
                with make() as ground:
                    found = upgrade_million.measure(ground.where, task)
                figures |= {f"million_{name}": each for name, each in found.items()}
    wrong = [
        f"{name} {value}"
        for name, value in figures.items()
        if value and name.endswith(("lost", "doubled", "overlapping", "disordered", "refused"))
    ]
    assert not wrong, f"{', '.join(wrong)}: {figures}"
    return figures


@contextmanager
def _databases(engine: str) -> Iterator[Any]:
    """Give a function that makes fleets, each on an empty database."""
    numbers = itertools.count()
    with TemporaryDirectory(prefix="rolehost-proof-") as folder, ExitStack() as stack:
        server = ""
        if engine == "postgres":
            try:
                server = stack.enter_context(services.start("postgres")).url
            except services.Missing as missing:
                raise Unavailable(str(missing)) from None

        @contextmanager
        def make() -> Iterator[Fleet]:
            name = f"upgrade_{next(numbers)}"
            own = Path(folder, name)
            own.mkdir()
            where = str(own / "service.db")
            if engine == "postgres":
                where = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
                execute(server, f"CREATE DATABASE {name}")
            with fleet(engine, where, own) as made:
                yield made

        yield make


class _Upgrade:
    """One upgrade of one fleet."""

    def __init__(self, ground: Fleet, old: Version, size: Size, task: Task) -> None:
        self.fleet = ground
        self.old, self.new = old, this_version()
        self.size, self.task = size, task
        self.figures: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Go forth, back and forth; return the figures."""
        numbers = self._begin()
        unique = ["unique"] if self.old.schema >= _UNIQUE else []
        old_load = self.fleet.load(self.old, "steady", _OLD, self.size.rate, *unique)
        self._await_effects(old=self.size.mixed)
        self._migrate("pre")
        new_load = self._mix()
        self._go_back()
        self._go_forth()
        loads = [answer(old_load)]
        self._migrate("post")
        loads.append(answer(new_load))
        self._replay_dead()
        self._finish()
        for load in loads:
            numbers |= set(load["numbers"])
        errors = [error for load in loads for error in load["errors"]]
        return {
            "jobs": len(numbers),
            "refused": len(errors),
            **({"first_refusal": errors[0]} if errors else {}),
            **self.figures,
            **self._audit(numbers),
        }

    def _step(self, label: str) -> None:
        self.task.relabel(f"{self.fleet.engine}: from schema {self.old.schema}: {label}")
        self.task.advance()

    def _begin(self) -> set[int]:
        """Start the old fleet with its backlog; return the numbers of the jobs."""
        self._step("backlog")
        self.fleet.command(self.old, "migrate", "up")
        self.fleet.execute(EFFECTS)
        numbers = answer(self.fleet.load(self.old, "backlog", _BACKLOG, self.size.jobs))
        for name in ("old 1", "old 2"):
            self.fleet.start(name, self.old)
        return set(numbers)

    def _migrate(self, phase: str) -> None:
        self._step(f"migrations {phase}")
        began = time.monotonic()
        self.fleet.command(self.new, "migrate", "up", "--phase", phase)
        self.figures[f"{phase}_s"] = round(time.monotonic() - began, 1)

    def _mix(self) -> Any:
        """Replace one old worker by a new one; kill one process of each version."""
        self._step("mixed")
        self.fleet.start("new 1", self.new)
        load = self.fleet.load(self.new, "steady", _NEW, self.size.rate, "unique")
        self.fleet.stop("old 1")
        self._await_effects(old=self.size.mixed, new=self.size.mixed)
        self.fleet.kill("old 2")
        self.fleet.kill("new 1")
        self._await_effects(old=self.size.mixed, new=self.size.mixed)
        return load

    def _go_back(self) -> None:
        """Leave only old workers, on the schema of the new version."""
        self._step("back")
        self.fleet.start("old 1", self.old)
        self.fleet.stop("new 1")
        self._await_effects(old=self.size.mixed)

    def _go_forth(self) -> None:
        """Leave only new workers."""
        self._step("forth again")
        for name in ("new 1", "new 2"):
            self.fleet.start(name, self.new)
        self._await_effects(old=self.size.mixed // 2, new=self.size.mixed)
        for name in ("old 1", "old 2"):
            self.fleet.stop(name)
        self._await_effects(new=self.size.mixed)

    def _replay_dead(self) -> None:
        """Heal the jobs that died, and run them again."""
        self._step("dead jobs")
        dying = "SELECT count(*) FROM rolehost_jobs WHERE actor = 'dying' AND state <> 'dead'"
        left = eventually(
            lambda: self.fleet.number(dying), lambda n: not n, seconds=self.size.limit
        )
        assert not left, f"{left} jobs did not die: {self.fleet.execute(_STATES)}"
        self.fleet.healed.touch()
        dead = self.fleet.execute("SELECT id FROM rolehost_jobs WHERE state = 'dead' ORDER BY id")
        for first in range(0, len(dead), 500):
            letters = [f"job:{row[0]}" for row in dead[first : first + 500]]
            self.fleet.command(self.new, "dead", "replay", *letters)
        self.figures["replayed"] = len(dead)

    def _finish(self) -> None:
        self._step("the rest")
        left = eventually(
            lambda: self.fleet.number(_UNFINISHED),
            lambda count: not count,
            seconds=self.size.limit + 90,
        )
        assert not left, f"{left} jobs did not end: {self.fleet.execute(_STATES)}"

    def _await_effects(self, **more: int) -> None:
        """Wait until each version has written this number of effects more."""

        def effects() -> dict[str, int]:
            rows = self.fleet.execute(
                "SELECT version, count(*) FROM proof_effects GROUP BY version"
            )
            return {"old": 0, "new": 0, **dict(rows)}

        before = effects()
        now = eventually(
            effects,
            lambda now: all(now[name] >= before[name] + wanted for name, wanted in more.items()),
            seconds=self.size.limit,
        )
        for name, wanted in more.items():
            done = now[name] - before[name]
            assert done >= wanted, (
                f"the {name} version ran {done} of {wanted} jobs in {self.size.limit:g} s:"
                f" {self.fleet.execute(_STATES)}\n{self.fleet.logs()}"
            )

    def _audit(self, numbers: set[int]) -> dict[str, int]:
        """Compare the jobs that were acknowledged with the effects."""
        rows = self.fleet.execute("SELECT number, name, began, ended FROM proof_effects")
        seen = [int(row[0]) for row in rows]
        groups: dict[str, list[tuple[float, float, int]]] = {}
        for number, name, began, ended in rows:
            if name:
                groups.setdefault(name, []).append((began, ended, number))
        overlapping = disordered = 0
        for runs in groups.values():
            overlapping += claim_log.overlaps([(began, ended) for began, ended, _ in runs])
            order = [number for _, _, number in sorted(runs)]
            disordered += sum(after < before for before, after in itertools.pairwise(order))
        return {
            "keyed": sum(map(len, groups.values())),
            "lost": len(numbers - set(seen)),
            "doubled": len(seen) - len(set(seen)),
            "overlapping": overlapping,
            "disordered": disordered,
        }
