"""Reload a deployment repeatedly under load: no request fails, no work is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.proofs.deployed import Engines, client_services
from tests.proofs.engines import own_engines
from tests.proofs.kills import processes
from tests.proofs.kit import ROOT, Figures, Options
from tests.proofs.reload_plugins import KINDS, TABLES, count, count_extra, order
from tests.proofs.running import READY, Running, eventually, free_port, running

if TYPE_CHECKING:
    from rolehost.services import ProcessServices

PROMISE = (
    "Under 500 requests a second and a full queue, a deployment is reloaded 20 times; a plugin"
    " comes and goes, and reloads of wrong files change nothing: no request fails, and each"
    " effect of each order is there once"
)
DURATION = "about 5 min; --short: 30 s"
GROUPED = True

#: Requests a second.
RATE = 500.0
#: Timeout in seconds, after the load, for all effects.
PATIENCE = 180.0
#: Orders in one unit of work of a burst.
TOGETHER = 500
#: Number of the first order of the bursts; the orders of requests start at 0.
BURSTS = 10_000_000


class Size(NamedTuple):
    """The size of a run.

    Attributes:
        engines: True for PostgreSQL, Redis and Kafka instead of the embedded default.
        reloads: number of successful reloads.
        wrong_files: number of reloads between them that are refused or rolled back.
        backlog: orders before the first reload; half as many are added when few are left.
    """

    engines: bool
    reloads: int
    wrong_files: int
    backlog: int


FULL = (
    Size(engines=False, reloads=20, wrong_files=10, backlog=20_000),
    Size(engines=True, reloads=6, wrong_files=3, backlog=8_000),
)
SHORT = (Size(engines=False, reloads=3, wrong_files=2, backlog=1_000),)

FILE = """
plugins = [{storage}, "orders"{more}]
[deployment]
migrate = "run"
[http]
bind = "127.0.0.1:{port}"
processes = 2
access_log = false
{engines}
{also}
"""

#: Error → (more plugins, another section, exit status of the command).
WRONG_FILES: dict[str, tuple[str, str, int]] = {
    "a plugin that nobody has": (', "extra"', "", 3),
    "no TOML": ("", "[embedded", 3),
    "a type": ("", '[worker]\nthreads = "many"', 3),
    "a secret that is away": ("", '[webhooks-api]\ntoken = "${file:nowhere}"', 3),
    "a plugin that cannot start": (', "stuck"', "", 1),
}


def prove(options: Options) -> Figures:
    """Reload under load on the embedded default; the full form also uses the engines."""
    figures: dict[str, Any] = {}
    for size in SHORT if options.short else FULL:
        with ExitStack() as stack:
            ground = Ground.of(stack.enter_context(own_engines())) if size.engines else EMBEDDED
            found = measured(ground, size, options)
        figures |= {f"{ground.prefix}{name}": value for name, value in found.items()}
    return figures


def measured(ground: Ground, size: Size, options: Options) -> dict[str, Any]:
    """Reload under load, and count afterwards."""
    with deployed(ground) as deployment:
        driver = Driver(deployment, size, options)
        driver.take(size.backlog)
        with loaded(deployment.port) as load:
            driver.run()
            report = load()
        orders = {*driver.taken, *report["ordered"]}
        wanted = len(orders) * len(KINDS)
        began = time.monotonic()
        eventually(deployment.effects, lambda found: found.total() >= wanted, seconds=PATIENCE)
        settled = time.monotonic() - began
        found = deployment.effects()
        dead = deployment.dead()
    lost = [(kind, n) for kind in KINDS for n in orders if not found[kind, n]]
    figures = {
        "requests": report["requests"],
        "requests_per_second": round(report["requests"] / report["seconds"]),
        "failed_requests": sum(report["failures"].values()),
        "longest_request_ms": round(report["longest"] * 1000),
        "reloads": len(driver.seconds),
        "reload_p50_s": round(statistics.median(driver.seconds), 2),
        "reload_max_s": max(driver.seconds),
        "refused_or_rolled_back": len(driver.tried_wrong_files),
        "killed_beside_a_bad_file": driver.killed,
        "orders": len(orders),
        "effects": found.total(),
        "lost": len(lost),
        "doubled": sum(times - 1 for times in found.values() if times > 1),
        "dead_letters": dead,
        "least_queued_at_a_reload": min(driver.queued),
        "settled_after_seconds": round(settled, 1),
    }
    assert not report["failures"], f"{report['failures']}; {figures}"
    assert not lost, f"lost: {lost[:5]}; {figures}"
    assert found.total() == wanted, f"doubled: {figures}"
    assert not dead, f"dead letters: {figures}"
    assert min(driver.queued) > 0, f"the queue was empty: {figures}"
    return figures


class Ground(NamedTuple):
    """The backends of the deployment.

    Attributes:
        prefix: prefix of the names of figures.
        plugins: the plugins, as in the file.
        sections: the sections, as in the file.
    """

    prefix: str
    plugins: str
    sections: str

    @classmethod
    def of(cls, engines: Engines) -> Ground:
        """Return the ground on a fleet's engines."""
        return cls(
            "engines_",
            '"postgres", "redis", "kafka"',
            '[storage]\nqueue = "redis"\n'
            f'[postgres]\nurl = "{engines.postgres}"\n[redis]\nurl = "{engines.redis}"\n'
            f"[kafka]\nservers = {engines.kafka.split(',')}\n",
        )


EMBEDDED = Ground("", '"embedded"', '[embedded]\npath = "service.db"\n')


class Deployment(NamedTuple):
    """The deployment to reload.

    Attributes:
        path: the deployment file.
        port: port of the role http.
        ground: its backends.
        host: its supervisor.
        services: services to read the database.
        environ: further environment of commands, to find the plugins.
    """

    path: Path
    port: int
    ground: Ground
    host: Running
    services: ProcessServices
    environ: dict[str, str]

    def write(self, more: str = "", also: str = "") -> None:
        """Rewrite the file."""
        write(self.path, self.port, self.ground, more, also)

    def reload(self) -> tuple[int, dict[str, Any]]:
        """Request a reload; return the command's exit status and output."""
        command = [sys.executable, "-m", "rolehost", "reload", str(self.path), "--json"]
        done = subprocess.run(
            command, env={**os.environ, **self.environ}, capture_output=True, text=True, check=False
        )
        assert done.stdout, f"{done.stderr}\n{self.host.output}"
        return done.returncode, json.loads(done.stdout)

    def burst(self, orders: range) -> None:
        """Take orders in this program, many in each unit of work."""
        for first in range(0, len(orders), TOGETHER):
            numbers = orders[first : first + TOGETHER]
            with self.services.unit_of_work() as work:
                for actor in (count, count_extra):
                    work.enqueue_many(actor, [{"number": number} for number in numbers])
                for number in numbers:
                    work.publish(order(number))

    def effects(self) -> Counter[tuple[str, int]]:
        """Count each effect."""
        return Counter((kind, n) for kind, n in self._read("SELECT kind, number FROM effects"))

    def queued(self) -> int:
        """Count the jobs that have not run."""
        ((jobs,),) = self._read(
            "SELECT count(*) FROM rolehost_jobs WHERE state NOT IN ('completed', 'dead')"
        )
        return int(jobs)

    def dead(self) -> int:
        """Count the dead letters."""
        ((jobs, events),) = self._read(
            "SELECT (SELECT count(*) FROM rolehost_jobs WHERE state = 'dead'),"
            " (SELECT count(*) FROM rolehost_dead_events)"
        )
        return int(jobs + events)

    def _read(self, statement: str) -> Sequence[Any]:
        with self.services.database.session():
            return self.services.database.read(statement)


class Driver:
    """Reloads with and without the optional plugin, with faulty reloads between."""

    def __init__(self, deployment: Deployment, size: Size, options: Options) -> None:
        self._deployment = deployment
        self._size = size
        self._random = random.Random(options.seed)
        self._task = options.progress(size.reloads + size.wrong_files, "reloads")
        self.seconds: list[float] = []
        self.tried_wrong_files: list[str] = []
        self.queued: list[int] = []
        self.killed = 0
        #: The orders that this program has taken.
        self.taken = range(BURSTS, BURSTS)

    def take(self, orders: int) -> None:
        """Take more orders."""
        more = range(self.taken.stop, self.taken.stop + orders)
        self._deployment.burst(more)
        self.taken = range(BURSTS, more.stop)

    def run(self) -> None:
        """Run all reloads; at the end the optional plugin is enabled."""
        size = self._size
        due = [(n + 1) * size.reloads // (size.wrong_files + 1) for n in range(size.wrong_files)]
        names = list(WRONG_FILES)
        for number in range(size.reloads):
            enabled = (size.reloads - number) % 2 == 1
            more = ', "extras"' if enabled else ""
            for _ in range(due.count(number)):
                # The last one named is the one that is rolled back: each run has it.
                self._reload_wrong_file(names[-1 - len(self.tried_wrong_files) % len(names)])
            if self._deployment.queued() < size.backlog // 4:
                self.take(size.backlog // 2)
            self.queued.append(self._deployment.queued())
            self._deployment.write(more)
            status, result = self._deployment.reload()
            assert status == 0, f"{result}\n{self._deployment.host.output}"
            expected = "enabled" if enabled else "disabled"
            assert number == 0 or result[expected] == ["extras"], result
            self.seconds.append(result["seconds"])
            self._task.advance()

    def _reload_wrong_file(self, name: str) -> None:
        more, also, wanted = WRONG_FILES[name]
        self._deployment.write(more, also)
        status, result = self._deployment.reload()
        assert status == wanted, f"{name}: {result}"
        self.tried_wrong_files.append(name)
        if self._random.random() < 0.5:
            # The bad file still exists: restarted processes must not read it.
            self._kill_worker()
        self._task.advance()

    def _kill_worker(self) -> None:
        found = processes(self._deployment.host.pid)
        (killed,) = [pid for pid, role in found if role == "worker"]
        os.kill(killed, signal.SIGKILL)
        again = eventually(
            lambda: [pid for pid, role in processes(self._deployment.host.pid) if role == "worker"],
            lambda pids: bool(pids) and killed not in pids,
        )
        assert again, self._deployment.host.output
        self.killed += 1


def write(path: Path, port: int, ground: Ground, more: str = "", also: str = "") -> None:
    """Write a deployment file atomically, as an editor does."""
    draft = path.with_suffix(".draft")
    draft.write_text(
        FILE.format(
            port=port, storage=ground.plugins, engines=ground.sections, more=more, also=also
        )
    )
    draft.replace(path)


@contextmanager
def deployed(ground: Ground) -> Iterator[Deployment]:
    """Run the deployment with the optional plugin during the block."""
    with TemporaryDirectory(prefix="rolehost-proof-") as name:
        folder = Path(name)
        path, port = folder / "reload.toml", free_port()
        write(path, port, ground, ', "extras"')
        found = (site(folder), str(ROOT), os.environ.get("PYTHONPATH", ""))
        environ = {"PYTHONPATH": os.pathsep.join(each for each in found if each)}
        sys.path.insert(0, found[0])
        try:
            command = [sys.executable, "-m", "rolehost", "run", str(path)]
            with running(command, folder, environ) as host:
                host.until(READY)
                with client_services(path) as services:
                    yield Deployment(path, port, ground, host, services, environ)
        finally:
            sys.path.remove(found[0])


def site(folder: Path) -> str:
    """Write the distribution metadata of the plugins and their table; return the folder."""
    metadata = folder / "site" / "rolehost_reload_proof-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rolehost-reload-proof\nVersion: 1.0\n"
    )
    names = ("orders", "extras", "stuck")
    lines = [f"{name} = tests.proofs.reload_plugins:{name}" for name in names]
    (metadata / "entry_points.txt").write_text("\n".join(["[rolehost]", *lines]))
    tables = folder / "site" / TABLES
    tables.mkdir()
    (tables / "__init__.py").write_text("")
    (tables / "0001_effects.sql").write_text(
        "-- up\nCREATE TABLE effects (kind TEXT NOT NULL, number BIGINT NOT NULL);\n"
        "-- down\nDROP TABLE effects;\n"
    )
    return str(metadata.parent)


@contextmanager
def loaded(port: int) -> Iterator[Any]:
    """Run the load during the block; yield a function that stops it and returns its report."""
    command = [sys.executable, "-m", "tests.proofs.reload_load", str(port), str(RATE)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def stop() -> dict[str, Any]:
            report: dict[str, Any] = json.loads(process.communicate(timeout=60)[0])
            return report

        try:
            yield stop
        finally:
            process.kill()
